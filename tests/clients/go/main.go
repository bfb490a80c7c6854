// Go's github.com/ollama/ollama/api, unmodified: clients URL. Prints what failed; the exit code says whether any did.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/ollama/ollama/api"
)

var checks, failed int

func ok(condition bool, what string, more ...any) {
	checks++
	if !condition {
		failed++
		fmt.Println("FAILED", what, fmt.Sprint(more...))
	}
}

func fails(status int, what string, err error) {
	var e api.StatusError
	ok(errors.As(err, &e) && e.StatusCode == status, what, ": ", err)
}

func chat(client *api.Client, model string, stream bool, format string, limit int) (string, int, error) {
	text, pieces := "", 0
	request := &api.ChatRequest{
		Model:    model,
		Messages: []api.Message{{Role: "user", Content: "Name a town."}},
		Stream:   &stream,
		Options:  map[string]any{"num_predict": limit, "temperature": 0},
	}
	if format != "" {
		request.Format = json.RawMessage(format)
	}
	err := client.Chat(context.Background(), request, func(r api.ChatResponse) error {
		text += r.Message.Content
		pieces++
		return nil
	})
	return text, pieces, err
}

func models(client *api.Client, ctx context.Context) {
	list, err := client.List(ctx)
	ok(err == nil && len(list.Models) >= 2, "list", err)
	shown, err := client.Show(ctx, &api.ShowRequest{Model: "smollm2"})
	ok(err == nil && shown.Details.Family == "llama", "show", err)
	ok(client.Copy(ctx, &api.CopyRequest{Source: "calls", Destination: "second"}) == nil, "copy")
	status := ""
	err = client.Create(ctx, &api.CreateRequest{Model: "third", From: "calls", System: "Be brief."},
		func(r api.ProgressResponse) error { status = r.Status; return nil })
	ok(err == nil && status == "success", "create", err, status)
	ok(client.Delete(ctx, &api.DeleteRequest{Model: "second"}) == nil, "delete")
	ok(client.Delete(ctx, &api.DeleteRequest{Model: "third"}) == nil, "delete")
	fails(http.StatusNotFound, "delete again", client.Delete(ctx, &api.DeleteRequest{Model: "third"}))
	running, err := client.ListRunning(ctx)
	ok(err == nil && len(running.Models) > 0, "ps", err)
	version, err := client.Version(ctx)
	ok(err == nil && version != "", "version", err)
	ok(client.Heartbeat(ctx) == nil, "heartbeat")
	err = client.Pull(ctx, &api.PullRequest{Model: "localhost:1/x/y:z", Insecure: true}, func(api.ProgressResponse) error { return nil })
	ok(err != nil, "a pull from nowhere")
}

func main() {
	base, err := url.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	client, ctx := api.NewClient(base, http.DefaultClient), context.Background()
	whole, _, err := chat(client, "smollm2", false, "", 24)
	ok(err == nil && whole != "", "chat", err)
	text, pieces, err := chat(client, "smollm2", true, "", 24)
	ok(err == nil && text == whole && pieces > 2, "chat, streamed", err, text)
	schema := `{"type":"object","required":["name","people"],"properties":{"name":{"type":"string"},"people":{"type":"integer"}}}`
	town, _, err := chat(client, "smollm2", false, schema, 80)
	var parsed struct {
		Name   *string
		People *int
	}
	ok(err == nil && json.Unmarshal([]byte(town), &parsed) == nil && parsed.Name != nil && parsed.People != nil, "format", err, town)
	generated := ""
	err = client.Generate(ctx, &api.GenerateRequest{Model: "smollm2", Prompt: "Once", Options: map[string]any{"num_predict": 8}},
		func(r api.GenerateResponse) error { generated += r.Response; return nil })
	ok(err == nil && generated != "", "generate", err)
	vectors, err := client.Embed(ctx, &api.EmbedRequest{Model: "smollm2", Input: []string{"a", "b"}})
	ok(err == nil && len(vectors.Embeddings) == 2, "embed", err)
	models(client, ctx)
	_, _, err = chat(client, "nope", false, "", 8)
	fails(http.StatusNotFound, "an absent model", err)
	canceled, cancel := context.WithCancel(ctx)
	pieces = 0
	err = client.Generate(canceled, &api.GenerateRequest{Model: "smollm2", Prompt: "Tell a story", Options: map[string]any{"num_predict": 2000}},
		func(api.GenerateResponse) error { cancel(); pieces++; return nil })
	ok((err == nil || errors.Is(err, context.Canceled)) && pieces > 0 && pieces < 500, "cancel", err, pieces)
	fmt.Printf("%d checks, %d failed\n", checks, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
