/* Templates and what jinja2 makes of them, set up as the transformers library does; the variables
 * are those of `case_variables`. The first eleven are those of the specification. */
#ifndef OLL_TESTS_UNIT_CHAT_JINJA_CASES_H
#define OLL_TESTS_UNIT_CHAT_JINJA_CASES_H

static const char case_variables[] =
    "{\"d\": {\"b\": \"<&'é\", \"a\": [1, 2.0, null, true]}, \"l\": [1, 2, 3], \"n\": null, \"o\": "
    "{}, \"s\": \"Hello, Wörld\", \"ms\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": "
    "\"user\", \"content\": \"u1\"}, {\"role\": \"assistant\", \"content\": \"a1\"}, {\"role\": "
    "\"user\", \"content\": \"u2\"}], \"f\": 0.1, \"big\": 12345678901, \"e\": \"\", \"items\": "
    "[{\"n\": \"b\", \"v\": 2}, {\"n\": \"A\", \"v\": 1}, {\"n\": \"c\", \"v\": 3}]}";

static const struct {
    const char *source, *expected;
} cases[] = {
    {"  {% if true %}\n  x\n  {% endif %}\ny\n", "  x\ny"},
    {"{{- 'x' -}}  \n  y{# c #}\nz", "xyz"},
    {"{{ d | tojson }}{{ d.a }}",
     "{\"b\": \"<&'é\", \"a\": [1, 2.0, null, true]}[1, 2.0, None, True]"},
    {"{{ {\"b\":[],\"a\":{\"x\":1},\"c\":{}} | tojson(indent=2) }}",
     "{\n  \"b\": [],\n  \"a\": {\n    \"x\": 1\n  },\n  \"c\": {}\n}"},
    {"{% set ns = namespace(n=0) %}{% set x = 0 %}{% for i in range(3) %}{% set ns.n = ns.n + i "
     "%}{% set x = x + i %}{% endfor %}{{ ns.n }}{{ x }}",
     "30"},
    {"{{ 'a</think>b'.split('</think>')[-1] }}{{ l[1:]|length }}{{ l[::-1][0] }}{{ l[-1] }}{{ 7 // "
     "2 }}{{ 7 / 2 }}",
     "b23333.5"},
    {"{{ x|default('d') }}{{ n|default('d') }}{{ n|default('d',true) }}{{ x }}{{ o.missing }}|",
     "dNoned|"},
    {"{% macro f(a, b='z') %}[{{ a }}{{ b }}]{% endmacro %}{{ f('q') }}{{ f(b='1', a='2') }}{{ 'a' "
     "~ 1 ~ none ~ true }}",
     "[qz][21]a1NoneTrue"},
    {"{% for k, v in {'b':1,'a':2} | dictsort %}{{ k }}{{ v }}{% endfor %}{% for m in [] %}a{% "
     "else %}empty{% endfor %}",
     "a2b1empty"},
    {"{{ strftime_now('%d %b %Y') }}", "21 Aug 2026"},
    {"a  {%- if true -%}  b  {%- endif -%}  c", "abc"},
    {"a {%+ if true +%}\nb{% endif %}\n\nc", "a \nb\nc"},
    {"   {#- x -#}  y", "y"},
    {"{% raw %}{{ x }} {% if %}\n{% endraw %}\nz", "{{ x }} {% if %}\nz"},
    {"x {%- raw -%}  a  {%- endraw -%}  b", "xab"},
    {"{{ '}}' }}{{ \"%}\" }}{{ {'a': {'b': 1}}.a.b }}", "}}%}1"},
    {"{{ \"a\" 'b' \"c\" }}", "abc"},
    {"{{ 'tab\\there\\\\ \\'q\\' \\x41\\u00e9\\101 \\q' }}", "tab\there\\ 'q' AéA \\q"},
    {"{{ 1_000 + 0x1f + 0b11 + 0o17 }} {{ 1.5e3 }} {{ 1e2 }} {{ 2.50 }}", "1049 1500.0 100.0 2.5"},
    {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1/3 }} {{ -0.0 }} {{ 123456789.123 }}",
     "1e+16 1000000000000000.0 0.0001 1e-05 0.3333333333333333 -0.0 123456789.123"},
    {"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** "
     "-1 }} {{ -2 ** 2 }}",
     "-4 2 -2 -4.0 0.5 1024 0.5 4"},
    {"{{ 2 ** 3 ** 2 }} {{ 10 - 2 - 3 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ 1 ~ 2 * 3 }}",
     "64 5 14 20 16"},
    {"{{ 1 == 1.0 == true }} {{ '1' != 1 }} {{ [1, [2]] == [1, [2]] }} {{ (1,) == [1] }} {{ {'a': "
     "1, 'b': 2} == {'b': 2, 'a': 1} }}",
     "True True True False True"},
    {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'ell' in s }} {{ 4 "
     "not in l }} {{ 'b' in d }}",
     "True False True True True True True"},
    {"{{ not true or true and false }} {{ not x is defined }} {{ x is not defined }} {{ 1 if false "
     "}}| {{ 1 if x else 2 if y else 3 }}",
     "False True True | 3"},
    {"{{ none }} {{ true }} {{ [none, true, 'a', \"it's\", 'q\"', 1.0, {'k': (1, 2)}, (1,), ()] }}",
     "None True [None, True, 'a', \"it's\", 'q\"', 1.0, {'k': (1, 2)}, (1,), ()]"},
    {"{{ 'a\\nb\\\\c' | list }} {{ ['é', '\\u2028', '\\x07'] }}",
     "['a', '\\n', 'b', '\\\\', 'c'] ['é', '\\u2028', '\\x07']"},
    {"{{ s[0] }}{{ s[-1] }}{{ s[7:9] }}{{ s[::-1] }}{{ s[1:-1:3] }}{{ s[100:] }}|{{ s[-3:] }}|{{ "
     "s[:-20] }}|{{ s[99] }}|",
     "HdWödlröW ,olleHeoWl|rld|||"},
    {"{{ l[0:2] }}{{ l[::2] }}{{ l[-2:] }}{{ l[5:1:-1] }}{{ l[5] }}{{ (1,2,3)[1:] }}",
     "[1, 2][1, 3][2, 3][3](2, 3)"},
    {"{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ \"they're bill's\".title() }} {{ 'ß "
     "straße'.upper() }} {{ 'ABC dEF'.capitalize() }} {{ 'aBc'.swapcase() }}",
     "HELLO, WÖRLD hello, wörld Hello, Wörld They'Re Bill'S SS STRASSE Abc def AbC"},
    {"{{ s | upper }} {{ s | lower }} {{ \"they're bill-s (foo)\" | title }} {{ 'aBC' | capitalize "
     "}}",
     "HELLO, WÖRLD hello, wörld They're Bill-S (Foo) Abc"},
    {"{{ '  a b '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xya'.lstrip('yx') }}|{{ "
     "'axy'.rstrip('yx') }}|{{ '  a ' | trim }}|{{ 'xax' | trim('x') }}|{{ "
     "'\\u3000a\\u00a0'.strip() }}|",
     "a b|a|a|a|a|a|a|"},
    {"{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c d'.split(' ', 2) }} {{ 'a b c "
     "d'.rsplit(' ', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ ' a b c '.split(none, 1) }} {{ "
     "''.split() }} {{ ''.split(',') }} {{ 'a b c'.split(maxsplit=1) }}",
     "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b', 'c d'] ['a b c', 'd'] [' a b', 'c'] ['a', 'b c '] "
     "[] [''] ['a', 'b c']"},
    {"{{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ 'aXbX' | replace('X', '') "
     "}} {{ 'aaa' | replace('a', 'b', 1) }} {{ 123 | replace('2', 'x') }}",
     "bba -a-b-c- ab baa 1x3"},
    {"{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} "
     "{{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ 'éab'.find('b') }} {{ 'abab'.rfind('ab') }} "
     "{{ 'aaa'.count('a') }} {{ 'abc'.index('b') }}",
     "True True True 2 -1 2 2 3 1"},
    {"{{ ','.join(['a', 'b']) }} {{ [1, none, 'x'] | join('-') }} {{ items | join(',', "
     "attribute='n') }} {{ 'abc' | join('.') }}",
     "a,b 1-None-x b,A,c a.b.c"},
    {"{{ '{} {1} {x!r:>5}'.format('a', 'b', x='c') if false else '{0} {1} {x}'.format('a', 'b', "
     "x='c') }} {{ '{{}} {:>4}|{:<4}|{:^5}|{:05d}|{:.2f}'.format('a', 'b', 'c', 42, 3.14159) }}",
     "a b c {}    a|b   |  c  |00042|3.14"},
    {"{{ '%s is %d, %.1f%%' | format('x', 3, 2.55) }} {{ '%05d|%-4s|%4s|%x' % (42, 'a', 'b', 255) "
     "}} {{ '%s' % 'z' }}",
     "x is 3, 2.5% 00042|a   |   b|ff z"},
    {"{{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} "
     "{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}",
     "['a', 'b', 'c'] ('a', '-', 'b-c') ('a-b', '-', 'c') bc ab"},
    {"{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, first=true) }}|{{ 'a\\nb' | "
     "indent(width=1) }}|{{ 'a\\n\\nb' | indent(2, blank=true) }}|{{ '' | indent(2) }}|{{ 'a\\nb' "
     "| indent('> ') }}",
     "a\n    b\n\n    c|  a\n  b|a\n b|a\n  \n  b||a\n> b"},
    {"{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ "
     "'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }}",
     "True True True True True True False"},
    {"{{ d.items() }} {{ d.keys() | list }} {{ d.get('b') }} {{ d.get('x') }} {{ d.get('x', 5) }} "
     "{{ d['b'] }} {{ d.values() | list | length }}",
     "dict_items([('b', \"<&'é\"), ('a', [1, 2.0, None, True])]) ['b', 'a'] <&'é None 5 <&'é 2"},
    {"{{ {'items': 1}['items'] }} {{ {'items': 1}.items() | list }} {{ {'a': 1}.keys() }} {{ {'a': "
     "1}.copy() }}",
     "1 [('items', 1)] dict_keys(['a']) {'a': 1}"},
    {"{{ d | items | list }} {{ undefinedvar | items | list }} {{ {'x': 1} | length }}",
     "[('b', \"<&'é\"), ('a', [1, 2.0, None, True])] [] 1"},
    {"{{ ms | map(attribute='role') | list }} {{ ms | selectattr('role', 'equalto', 'user') | "
     "map(attribute='content') | join(',') }} {{ ms | rejectattr('role', 'in', ['user', 'system']) "
     "| list | length }}",
     "['system', 'user', 'assistant', 'user'] u1,u2 1"},
    {"{{ ['a', 'b'] | map('upper') | list }} {{ [1, 2, 3, 4] | select('odd') | list }} {{ [1, 2, "
     "0] | reject | list }} {{ [1, 2, 3] | reject('equalto', 2) | list }} {{ ms | "
     "selectattr('nope') | list }}",
     "['A', 'B'] [1, 3] [0] [1, 3] []"},
    {"{{ items | sort(attribute='n') | map(attribute='v') | list }} {{ [3, 1, 2] | sort }} {{ "
     "['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [3, 1] | "
     "sort(reverse=true) }}",
     "[1, 2, 3] [1, 2, 3] ['A', 'b', 'c'] ['A', 'b'] [3, 1]"},
    {"{{ {'b': 1, 'A': 2, 'c': 0} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': "
     "1, 'A': 2, 'c': 0} | dictsort(by='value') }} {{ {'b': 1, 'A': 2} | dictsort(reverse=true) }}",
     "[('A', 2), ('b', 1), ('c', 0)] [('A', 2), ('b', 1)] [('c', 0), ('b', 1), ('A', 2)] [('b', "
     "1), ('A', 2)]"},
    {"{{ [1, 2, 1, 3] | unique | list }} {{ ['a', 'A', 'b'] | unique | list }} {{ [3, 1, 2] | min "
     "}} {{ [3, 1, 2] | max }} {{ items | max(attribute='v') }} {{ [1, 2] | sum }} {{ items | "
     "sum(attribute='v') }} {{ [[1], [2]] | sum(start=[]) }}",
     "[1, 2, 3] ['a', 'b'] 1 3 {'n': 'c', 'v': 3} 3 6 [1, 2]"},
    {"{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, "
     "4, 5] | slice(2) | list }} {{ [1, 2, 3] | slice(2, 'x') | list }}",
     "[[1, 2], [3, 4], [5]] [[1, 2], [3, 'x']] [[1, 2, 3], [4, 5]] [[1, 2], [3, 'x']]"},
    {"{% for g in items | groupby('n') %}{{ g[0] }}={{ g[1] | length }};{% endfor %}",
     "A=1;b=1;c=1;"},
    {"{{ l | first }} {{ l | last }} {{ [] | first }}| {{ 'abc' | first }} {{ 'abc' | last }} {{ l "
     "| reverse | list }} {{ 'abc' | reverse }} {{ 'ab' | list }} {{ {'a': 1} | list }}",
     "1 3 | a c [3, 2, 1] cba ['a', 'b'] ['a']"},
    {"{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '42.9' | int }} {{ 3.9 | int }} {{ "
     "true | int }} {{ none | int }} {{ 'ff' | int(base=16) }} {{ ' 5 ' | int }} {{ '1.5' | float "
     "}} {{ 'x' | float }} {{ 2 | float }}",
     "42 0 7 42 3 1 0 255 5 1.5 0.0 2.0"},
    {"{{ -3 | abs }} {{ (-3) | abs }} {{ -2.5 | abs }} {{ 2.5 | round }} {{ 3.5 | round }} {{ "
     "2.567 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }} {{ 5 | "
     "round }} {{ 1234 | round(-2) }}",
     "3 3 2.5 2.0 4.0 2.57 3.0 2.0 5 1200"},
    {"{{ s | length }} {{ '日本' | length }} {{ 'abc' | wordcount }} {{ 'hello big world' | "
     "wordcount }} {{ 'ab' | center(6) }}| {{ 'abcdefghij klm' | truncate(9) }} {{ 'abcdefghij "
     "klmnopq' | truncate(9, true, '..', 0) }}",
     "12 2 1 3   ab  | abcdefghij klm abcdefg.."},
    {"{{ '<a href=\"x\">\\'&' | e }} {{ '<' | escape }}",
     "&lt;a href=&#34;x&#34;&gt;&#39;&amp; &lt;"},
    {"{{ '<b>' | safe }} {{ ('<b>' | safe) + '<i>' }} {{ '<i>' + ('<b>' | safe) }} {{ '<i>' ~ "
     "('<b>' | safe) }} {{ ['<b>' | safe] }} {{ (('<b> ' | safe).strip() + '<') }}",
     "<b> <b>&lt;i&gt; &lt;i&gt;<b> <i><b> [Markup('<b>')] <b>&lt;"},
    {"{{ x is defined }} {{ n is none }} {{ n is undefined }} {{ s is string }} {{ d is mapping }} "
     "{{ l is iterable }} {{ s is iterable }} {{ 5 is iterable }} {{ l is sequence }} {{ d is "
     "sequence }} {{ s is sequence }} {{ 5 is sequence }} {{ x is iterable }} {{ x is sequence }}",
     "False True False True True True True False True True True False True True"},
    {"{{ 1 is number }} {{ true is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is "
     "float }} {{ true is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 "
     "is false }} {{ range is callable }} {{ s is callable }}",
     "True True True False True True True False True False True False"},
    {"{{ 3 is odd }} {{ 4 is even }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ 1 is in "
     "[1, 2] }} {{ 'a' is equalto 'a' }} {{ 1 is eq 1 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 1 is "
     "ge 2 }} {{ 'ab' is lower }} {{ 'AB' is upper }} {{ n is sameas none }} {{ 'upper' is filter "
     "}} {{ 'odd' is test }} {{ 1 is not in [2] }}",
     "True True True False True True True True True False True True True True True True"},
    {"{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ "
     "loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ "
     "loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.depth }} {% endfor %}",
     "1032TrueFalse32a1 2121FalseFalse313b1 3210FalseTrue32a1 "},
    {"{% for x in range(10) if x is odd %}{{ x }}{{ loop.index }}{{ loop.last }}{{ loop.length }} "
     "{% endfor %}",
     "11False5 32False5 53False5 74False5 95True5 "},
    {"{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% "
     "endif %}{{ x }}{% endfor %}",
     "0134"},
    {"{% for x in [1] %}{% continue %}{% else %}none{% endfor %}{% for x in [1] %}a{% else %}b{% "
     "endfor %}",
     "nonea"},
    {"{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }} {% endfor %}{% for a, (b, c) in [(1, (2, "
     "3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
     "12 34 123"},
    {"{% for c in 'añb' %}{{ c }}.{% endfor %}{% for k in {'x': 1, 'y': 2} %}{{ k }}{% endfor %}{% "
     "for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}",
     "a.ñ.b.xyx1"},
    {"{% for x in [[1, [2, [3]]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x "
     "}}@{{ loop.depth }}{% endif %}{% endfor %}",
     "(1@2(2@3(3@4)))"},
    {"{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}", "True False True "},
    {"{% set a = 1 %}{% if true %}{% set a = 2 %}{% endif %}{{ a }}{% for i in [1] %}{% set a = 3 "
     "%}{{ a }}{% endfor %}{{ a }}",
     "232"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}{% set d2 %}x{{ a }}{% endset "
     "%}{{ d2 }}{% set e2 | upper %}abc{% endset %}{{ e2 }}",
     "12(1, 2)x1ABC"},
    {"{% macro m(x, y=x ~ '!') %}{{ x }}{{ y }}{% endmacro %}{{ m('a') }} {{ m('a', 'b') }} {{ m() "
     "}}|",
     "aa! ab !|"},
    {"{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(3) }}",
     "3210"},
    {"{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, a=3) }}", "(1, 2){'a': 3}"},
    {"{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) m('q') %}<{{ y }}>{% endcall %}",
     "[<q>]"},
    {"{% macro g() %}{{ z }}{% endmacro %}{% set z = 5 %}{{ g() }}{% for z in [7] %}{{ g() }}{% "
     "endfor %}",
     "55"},
    {"{% macro m(l) %}{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}{% "
     "endmacro %}{{ m([1, 2]) | upper }}{{ m('ab') ~ '!' }}",
     "1,2a,b!"},
    {"{% filter upper %}abc{{ 'd' }}{% endfilter %}{% filter trim | replace('a', 'b') %}  aa  {% "
     "endfilter %}",
     "ABCDbb"},
    {"{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}|", "1|"},
    {"{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q }}|", "x|"},
    {"{% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.b is "
     "defined }}",
     "12True"},
    {"{% set ns = namespace() %}{% set ns.x %}blk{% endset %}{{ ns.x }}{{ dict(a=1, b=2) }}{{ "
     "namespace({'q': 1}).q }}",
     "blk{'a': 1, 'b': 2}1"},
    {"{{ range(3) }}{{ range(1, 4) | list }}{{ range(5, 0, -2) | list }}{{ range(3)[1] }}{{ "
     "range(3) | length }}{{ 2 in range(3) }}",
     "range(0, 3)[1, 2, 3][5, 3, 1]13True"},
    {"{% set j = joiner('; ') %}{% for i in [1, 2, 3] %}{{ j() }}{{ i }}{% endfor %}{% set c = "
     "cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}",
     "1; 2; 3aba"},
    {"{{ {'a': 1, 2: 'x', none: 1, true: 2, 1.5: 3} | tojson }} {{ 'é\"\\\\\\n\\x01</' | tojson }} "
     "{{ 'é😀' | tojson(ensure_ascii=true) }} {{ [1, {'b': 1, 'a': 2}] | tojson(sort_keys=true) }} "
     "{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}",
     "{\"a\": 1, \"2\": \"x\", \"null\": 1, \"true\": 2, \"1.5\": 3} \"é\\\"\\\\\\n\\u0001</\" "
     "\"\\u00e9\\ud83d\\ude00\" [1, {\"a\": 2, \"b\": 1}] [1,{\"a\":2}]"},
    {"{{ [1e16, 1.0, 0.1, 1e-7, -0.0] | tojson }} {{ (1, 2) | tojson }} {{ [[], {}, [[]]] | "
     "tojson(indent=4) }} {{ true | tojson }}{{ none | tojson }}{{ 'x' | tojson }}",
     "[1e+16, 1.0, 0.1, 1e-07, -0.0] [1, 2] [\n    [],\n    {},\n    [\n        []\n    ]\n] "
     "truenull\"x\""},
    {"{{ [1, 2] + [3] }} {{ (1,) + (2,) }} {{ 'ab' * 2 }} {{ [0] * 3 }} {{ 2 * 'x' }} {{ true + 1 "
     "}} {{ 1.5 + 1 }} {{ 'a' + 'b' }}",
     "[1, 2, 3] (1, 2) abab [0, 0, 0] xx 2 2.5 ab"},
    {"{% set q = [1, 2, 3] %}{% set _ = q.append(4) %}{{ q }}{{ q.pop() }}{{ q.pop(0) }}{{ q }}{{ "
     "q.index(3) }}{{ q.count(2) }}{% set _ = q.extend([9]) %}{% set _ = q.insert(0, 8) %}{{ q "
     "}}{% set _ = q.reverse() %}{{ q }}",
     "[1, 2, 3, 4]41[2, 3]11[8, 2, 3, 9][9, 3, 2, 8]"},
    {"{% set q = {'a': 1} %}{% set _ = q.update({'b': 2}) %}{% set _ = q.update(c=3) %}{{ q }}{{ "
     "q.pop('a') }}{{ q.setdefault('z', 9) }}{{ q }}",
     "{'a': 1, 'b': 2, 'c': 3}19{'b': 2, 'c': 3, 'z': 9}"},
    {"{{ ms[0].role }}{{ ms[-1]['content'] }}{{ ms[1:] | length }}{{ ms | length }}{{ "
     "ms[0]['nope'] }}|{{ ms.0.role }}",
     "systemu234|system"},
    {"{{ d.a.0 }} {{ d['a'][1] }} {{ o.x is defined }} {{ n.x is defined }} {{ s.nope is defined "
     "}}",
     "1 2.0 False False False"},
    {"{{ f }} {{ big }} {{ big * 2 }} {{ f + 0.2 }} {{ 10 / 5 }} {{ 7.0 }} {{ 3.0 // 2 }}",
     "0.1 12345678901 24691357802 0.30000000000000004 2.0 7.0 1.0"},
    {"{{ x ~ 'a' }}{{ [] ~ {} }}{{ none ~ 1.5 }}", "a[]{}None1.5"},
    {"{{ (ms | selectattr('role', 'equalto', 'nobody')) is defined }}{% if ms | selectattr('role', "
     "'equalto', 'nobody') %}T{% else %}F{% endif %}{% if ms | selectattr('role', 'equalto', "
     "'nobody') | list %}T{% else %}F{% endif %}",
     "TrueTF"},
    {"{% set g = l | map('string') %}{{ g | first }}{{ g | list }}{{ g | list }}", "1['2', '3'][]"},
    {"{% if x %}a{% elif l %}b{% else %}c{% endif %}{% if not l %}a{% elif false %}b{% else %}c{% "
     "endif %}",
     "bc"},
    {"{{ 'x' if l is defined and l[0] == 1 else 'y' }}{{ ('a' if false) is defined }}{{ (1, 2, 3) "
     "}}{{ (1) }}{{ 1, 2 }}",
     "xFalse(1, 2, 3)1(1, 2)"},
    {"{{ \"multi\nline\" }}{#- comment with {{ x }} and {% if %} -#}  \nafter", "multi\nlineafter"},
    {"{% set content = '<think>r</think>\\n\\nans' %}{{ "
     "content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}|{{ "
     "content.split('</think>')[-1].lstrip('\\n') }}",
     "r|ans"},
    {"{%- for m in ms %}\n  {%- if loop.first %}F{% endif %}\n    {{ m.role }}:\n{%- endfor %}",
     "F    system:    user:    assistant:    user:"},
    {"{{ '\\u00c9COLE ÄÖ' | lower }}{{ 'ǆ ĳ ω' | upper }}{{ 'İ' | lower | length }}",
     "école äöǄ Ĳ Ω2"},
    {"{{ [['a', 1], ['b', 2]] | map('first') | list }}{{ [[3, 1], [2]] | map('sort') | list }}{{ "
     "items | map(attribute='q', default='-') | list }}",
     "['a', 'b'][[1, 3], [2]]['-', '-', '-']"},
    {"{{ ms | map(attribute='content') | map('length') | sum }}{{ 'a-b' | replace('-', '_') | "
     "upper | lower | title }}",
     "7A_b"},
    {"{{ 'abc' is in 'xabcx' }} {{ 'b' in {'b': 1} }} {{ 1.0 in [1] }} {{ none in [none] }} {{ 'a' "
     "in ('a', 'b') }} {{ x in [1] }}",
     "True True True True True False"},
    {"{{ l | string | length }}{{ l | string }}{{ 5 | string + 'x' }}{{ none | string }}",
     "9[1, 2, 3]5xNone"},
    {"{{ s | attr('upper') is callable }}{{ d | attr('b') is defined }}", "TrueFalse"},
    {"{{ \"%s\" | format(\"a\") }}{{ 'a' 'b' | upper }}{{ -1 | abs }}{{ - 3 }}{{ +3 }}{{ not 0 "
     "}}{{ not not 1 }}",
     "aAB1-33TrueTrue"},
};

#endif
