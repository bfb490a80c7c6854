# Matrix kernels: the families of each instruction set, compiled with its flags (kernels/cpu/x86, kernels/cpu/arm).
set_source_files_properties(cpu/cpu_expand.c cpu/cpu_expand_rows.c cpu/cpu_matmul_scalar.c cpu/cpu_pack_float.c
  cpu/cpu_pack_k.c cpu/cpu_pack_small.c cpu/cpu_gemm.c cpu/cpu_rows_scalar.c PROPERTIES COMPILE_OPTIONS -O3)

# Of UBSan's checks the ones on every pointer make these unrolled files take a minute each to compile; what they could
# find here AddressSanitizer and the guard pages of tests/kernels find as well.
set(flags_unrolled -O3)
if(OLL_SANITIZE MATCHES "undefined")
  list(APPEND flags_unrolled -fno-sanitize=null,alignment,pointer-overflow,object-size)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  target_compile_definitions(oll_kernels PRIVATE OLL_X86)
  target_sources(oll_kernels PRIVATE cpu/x86/matmul_tables.c)
  set(flags_avx2 -mavx2 -mfma -mf16c)
  set(flags_avxvnni ${flags_avx2} -mavxvnni)
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
  set(flags_avx512vnni ${flags_avx512} -mavx512vnni -mbmi2)
  set(flags_avx512bf16 ${flags_avx512} -mavx512bf16)
  foreach(file matmul_float_avx512bf16 matmul_small_avx2 matmul_small_avxvnni matmul_small_avx512vnni matmul_k_avx2 matmul_k_avxvnni
          matmul_k_avx512vnni matmul_float_avx2 matmul_float_avx512 grid_avx512vnni quantize_avx2 quantize_avx512
          rows_avx2 rows_avx512)
    string(REGEX REPLACE ".*_" "" level ${file})
    target_sources(oll_kernels PRIVATE cpu/x86/${file}.c)
    set_source_files_properties(cpu/x86/${file}.c PROPERTIES COMPILE_OPTIONS "${flags_unrolled};${flags_${level}}")
  endforeach()
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  target_compile_definitions(oll_kernels PRIVATE OLL_ARM64)
  target_sources(oll_kernels PRIVATE cpu/arm/matmul_tables_arm.c)
  set(flags_neon -march=armv8-a)
  set(flags_dotprod -march=armv8.2-a+dotprod)
  foreach(file matmul_small_neon matmul_small_dotprod matmul_k_neon matmul_k_dotprod matmul_float_neon quantize_neon rows_neon)
    string(REGEX REPLACE ".*_" "" level ${file})
    target_sources(oll_kernels PRIVATE cpu/arm/${file}.c)
    set_source_files_properties(cpu/arm/${file}.c PROPERTIES COMPILE_OPTIONS "${flags_unrolled};${flags_${level}}")
  endforeach()
endif()
