// The multi-directional selective scan on a CPU, forward and backward, in float32.
//
// Plain C entry points that take pointers and strides: no dependency on Python, torch or libstdc++.
// This file plans the work and divides it among threads; scan_kernel.inc has the arithmetic and is
// compiled once per instruction set, of which the best that the processor has is taken at run time.
//
// Results do not depend on the number of threads: a task is a block of channels of one image, or a
// fixed series of them where sums over channels are made, and partial sums are added in one order.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif


#define EXPORT extern "C" __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

// ---- What a call is given; pamm/ops/cpu.py has the same structure

struct Problem {
  int64_t batch, channels, groups, state, length, directions;
  int64_t softplus, threads;
  int64_t tile;  // positions per tile; 0: chosen here
  const int64_t* orders;  // (directions, length), contiguous
  const float *u, *delta, *A, *B, *C, *D, *bias;  // A, D, bias contiguous; D, bias may be null
  int64_t u_stride[3], delta_stride[3], B_stride[4], C_stride[4];
  float* y;  // forward
  int64_t y_stride[3];
  const float* grad_y;  // backward, from here on
  float *grad_u, *grad_delta, *grad_A, *grad_B, *grad_C, *grad_D, *grad_bias;
  int64_t grad_y_stride[3], grad_u_stride[3], grad_delta_stride[3];  // the others contiguous
};

namespace {

template <int N> struct Constant {
  static constexpr int value = N;
};

// W channels of one image, of one group.
struct Block {
  int64_t batch, channel;  // first channel
  int valid;               // channels in it; the rest of the lanes hold zeros
};

// A series of consecutive steps of one direction inside one tile.
struct Run {
  int direction, count;
  int64_t id;             // number in the order of the visits, over all directions
  bool last;              // of its direction
  const int32_t* offset;  // ranks visited, counted from the tile's beginning
};

// Consecutive image positions of one chunk; so many that all lanes of the widest vectors are used.
struct Segment {
  static constexpr int MOST = 16;
  int32_t position, count;
};

// The visiting orders, renumbered and cut into tiles of ranks, for the recurrence, and chunks of
// tiles, which are brought between the tensors' layout and the kernel's at once.
struct Plan {
  int length, directions, padded;
  int tile, tiles, chunk, chunks;
  int64_t runs;
  int32_t* rank;      // [length] of an image position: its place in the first direction
  int32_t* position;  // [length] of a rank: the inverse
  int32_t* offset;    // [directions][length]
  Run* run;           // by tile
  Segment* segment;   // by chunk
  int32_t *tile_runs, *chunk_segments, *direction_runs;  // the first of each, and one past the last
  int tile_length(int i) const { return i + 1 < tiles ? tile : length - i * tile; }
  int chunk_length(int i) const { return i + 1 < chunks ? chunk : length - i * chunk; }
  bool ends_chunk(int i) const { return i + 1 == tiles || (int64_t)(i + 1) * tile % chunk == 0; }
};

// Hands out parts of one allocation. Each starts at another offset modulo 4096: addresses equal in
// their low bits make the processor wait for stores that do not concern it.
struct Arena {
  static constexpr int SKEW = 832;
  static constexpr int SLACK = SKEW * 5 + 64;  // bytes lost per part, at most
  char* next;
  int count = 0;
  explicit Arena(char* memory) : next(memory) {}
  template <class V> V* take(int64_t n) {
    char* start = next + (count++ % 5) * SKEW;
    start = (char*)(((uintptr_t)start + 63) & ~(uintptr_t)63);
    next = start + n * sizeof(V);
    return (V*)start;
  }
};

// How many of the remaining states are done at a time.
constexpr int states_at(int64_t remaining, int most) {
  int count = most;
  while (count > remaining) count /= 2;
  return count;
}

struct Kernel {
  int lanes, states_forward, states_backward;
  int64_t (*forward_scratch)(const Problem&, const Plan&);
  int64_t (*backward_scratch)(const Problem&, const Plan&);
  void (*forward)(const Problem&, const Plan&, const Block&, const float* bc, char*);
  void (*backward)(const Problem&, const Plan&, const Block&, const float* bc, float* grad_A,
                   float* grad_D, float* grad_bias, float* bc_sums, bool add, char*);
  double (*peak)();
};

double seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

// ---- The arithmetic, per instruction set

// In a vector register, whatever the compiler knows of the value.
#if defined(__aarch64__)
#define KEEP(v) "+w"(v)
#else
#define KEEP(v) "+v"(v)
#endif

#if defined(__clang__)
#define TARGET_BEGIN(features) \
  _Pragma(TEXT(clang attribute push(__attribute__((target(features))), apply_to = function)))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN(features) _Pragma("GCC push_options") _Pragma(TEXT(GCC target(features)))
#define TARGET_END _Pragma("GCC pop_options")
#endif
#define TEXT(...) TEXT2(__VA_ARGS__)
#define TEXT2(...) #__VA_ARGS__

#if defined(__x86_64__)
#define W 16
#define STATES_FORWARD 8
#define STATES_BACKWARD 4
#define STATES_CARRIES 8
TARGET_BEGIN("avx512f,avx512dq,avx2,fma")
namespace avx512 {
#include "scan_kernel.inc"
}
TARGET_END
#undef W
#undef STATES_FORWARD
#undef STATES_BACKWARD
#undef STATES_CARRIES

#define W 8
#define STATES_FORWARD 4
#define STATES_BACKWARD 4
#define STATES_CARRIES 4
TARGET_BEGIN("avx2,fma")
namespace avx2 {
#include "scan_kernel.inc"
}
TARGET_END
#undef W
#undef STATES_FORWARD
#undef STATES_BACKWARD
#undef STATES_CARRIES
#endif

// SSE2 on x86-64, NEON on ARM64.
#define W 4
#define STATES_FORWARD 4
#define STATES_BACKWARD 4
#define STATES_CARRIES 4
namespace baseline {
#include "scan_kernel.inc"
}
#undef W

struct Choice {
  const char* name;
  const Kernel* kernel;
};

int choices(Choice* to) {
  int count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
    to[count++] = {"avx512", &avx512::KERNEL};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    to[count++] = {"avx2", &avx2::KERNEL};
  to[count++] = {"sse2", &baseline::KERNEL};
#elif defined(__aarch64__)
  to[count++] = {"neon", &baseline::KERNEL};
#else
  to[count++] = {"baseline", &baseline::KERNEL};
#endif
  return count;
}

char instruction_set[16] = "";  // set by pamm_use_instruction_set

Choice choice() {
  Choice all[3];
  const int count = choices(all);
  for (int i = 0; i < count; i++)
    if (!strcmp(all[i].name, instruction_set)) return all[i];
  return all[0];
}

// ---- Numbers too small to matter count as zero while a scan runs: they cost hundreds of cycles.

struct FlushToZero {
#if defined(__x86_64__)
  unsigned saved = __builtin_ia32_stmxcsr();
  FlushToZero() { __builtin_ia32_ldmxcsr(saved | 0x8040); }
  ~FlushToZero() { __builtin_ia32_ldmxcsr(saved); }
#elif defined(__aarch64__)
  uint64_t saved;
  FlushToZero() {
    asm volatile("mrs %0, fpcr" : "=r"(saved));
    asm volatile("msr fpcr, %0" ::"r"(saved | (uint64_t)1 << 24));
  }
  ~FlushToZero() { asm volatile("msr fpcr, %0" ::"r"(saved)); }
#endif
};

// Calls body(task, slot) for every task. A slot is one thread's: whatever it takes next is its own.
template <class F> void parallel(int64_t tasks, int slots, F body) {
  int64_t next = 0;
#pragma omp parallel for schedule(static, 1) num_threads(slots) if (slots > 1)
  for (int slot = 0; slot < slots; slot++) {
    FlushToZero guard;
    for (;;) {
      const int64_t task = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
      if (task >= tasks) break;
      body(task, slot);
    }
  }
}

struct Memory {  // freed when it goes out of scope
  char* data;
  explicit Memory(int64_t bytes) : data((char*)aligned_alloc(64, (bytes + 64) / 64 * 64)) {}
  ~Memory() { free(data); }
  Memory(const Memory&) = delete;
};

// ---- The plan

// Several tiles cost a first sweep, one tile does not. Forward, one tile of any length streams from
// the second level of the cache or the third, which is better than several for up to 16384 positions.
// A backward tile should live in the first level; over long sequences, where carries no longer fit
// into the second level, fewer and larger tiles are better.
constexpr int WHOLE_FORWARD = 16384, FORWARD_TILE = 512;
constexpr int WHOLE_BACKWARD = 112, BACKWARD_TILE = 32, MANY = 8192, MANY_BACKWARD_TILE = 64;
constexpr int CHUNK = 1024;

int chosen_tile(const Problem& p, bool backward) {
  if (p.tile > 0) return p.tile < p.length ? (int)p.tile : (int)p.length;
  if (p.length <= (backward ? WHOLE_BACKWARD : WHOLE_FORWARD)) return (int)p.length;
  if (!backward) return FORWARD_TILE;
  return p.length <= MANY ? BACKWARD_TILE : MANY_BACKWARD_TILE;
}

int64_t plan_bytes(const Problem& p) {
  const int64_t steps = p.directions * p.length;
  return steps * (sizeof(Run) + sizeof(int32_t)) + p.length * sizeof(Segment) +
         (4 * p.length + p.directions + 8) * sizeof(int32_t);
}

void find_runs(const Problem& p, Plan& plan) {
  const int L = plan.length;
  for (int t = 0; t <= plan.tiles; t++) plan.tile_runs[t] = 0;
  // Count the runs of each tile, then put them in their places.
  for (int pass = 0; pass < 2; pass++) {
    int64_t id = 0;
    for (int k = 0; k < plan.directions; k++) {
      const int64_t* order = p.orders + (int64_t)k * L;
      int32_t* offset = plan.offset + (int64_t)k * L;
      plan.direction_runs[k] = id;
      for (int i = 0, end; i < L; i = end) {
        const int tile = plan.rank[order[i]] / plan.tile, begin = tile * plan.tile;
        const int past = begin + plan.tile_length(tile);
        for (end = i; end < L; end++) {
          const int rank = plan.rank[order[end]];
          if (rank < begin || rank >= past) break;
          offset[end] = rank - begin;
        }
        if (pass == 0)
          plan.tile_runs[tile + 1]++;
        else
          plan.run[plan.tile_runs[tile]++] = {k, end - i, id, end == L, offset + i};
        id++;
      }
    }
    plan.direction_runs[plan.directions] = plan.runs = id;
    if (pass == 0)
      for (int t = 0; t < plan.tiles; t++) plan.tile_runs[t + 1] += plan.tile_runs[t];
  }
  for (int t = plan.tiles; t > 0; t--) plan.tile_runs[t] = plan.tile_runs[t - 1];
  plan.tile_runs[0] = 0;
}

void find_segments(Plan& plan) {
  const int L = plan.length;
  for (int c = 0; c <= plan.chunks; c++) plan.chunk_segments[c] = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int l = 0, end; l < L; l = end) {
      const int chunk = plan.rank[l] / plan.chunk;
      for (end = l + 1; end < L && end < l + Segment::MOST; end++)
        if (plan.rank[end] / plan.chunk != chunk) break;
      if (pass == 0)
        plan.chunk_segments[chunk + 1]++;
      else
        plan.segment[plan.chunk_segments[chunk]++] = {l, end - l};
    }
    if (pass == 0)
      for (int c = 0; c < plan.chunks; c++) plan.chunk_segments[c + 1] += plan.chunk_segments[c];
  }
  for (int c = plan.chunks; c > 0; c--) plan.chunk_segments[c] = plan.chunk_segments[c - 1];
  plan.chunk_segments[0] = 0;
}

void make_plan(const Problem& p, bool backward, char* memory, Plan& plan) {
  const int L = plan.length = p.length, K = plan.directions = p.directions;
  plan.padded = (L + 15) / 16 * 16;
  plan.tile = chosen_tile(p, backward);
  if (plan.tile < L) plan.tile = (plan.tile + 15) / 16 * 16;
  plan.tiles = (L + plan.tile - 1) / plan.tile;
  plan.chunk = plan.tile < CHUNK ? CHUNK / plan.tile * plan.tile : plan.tile;
  if (plan.chunk > L) plan.chunk = plan.tiles * plan.tile;
  plan.chunks = (L + plan.chunk - 1) / plan.chunk;

  plan.run = (Run*)memory;
  plan.segment = (Segment*)(plan.run + (int64_t)K * L);
  plan.offset = (int32_t*)(plan.segment + L);
  plan.rank = plan.offset + (int64_t)K * L;
  plan.position = plan.rank + L;
  plan.tile_runs = plan.position + L;
  plan.chunk_segments = plan.tile_runs + plan.tiles + 1;
  plan.direction_runs = plan.chunk_segments + plan.chunks + 1;

  for (int i = 0; i < L; i++) {
    plan.position[i] = (int32_t)p.orders[i];
    plan.rank[p.orders[i]] = i;
  }
  find_runs(p, plan);
  find_segments(plan);
}

// ---- B and C, gathered: [states at a time][rank][B, C of these states]

void pack(const Problem& p, const Plan& plan, int most, int64_t image, float* to) {
  const int64_t b = image / p.groups, g = image % p.groups, L = p.length;
  const float* B = p.B + b * p.B_stride[0] + g * p.B_stride[1];
  const float* C = p.C + b * p.C_stride[0] + g * p.C_stride[1];
  for (int64_t n = 0, ng; n < p.state; n += ng) {
    ng = states_at(p.state - n, most);
    float* part = to + 2 * n * L;
    for (int64_t l = 0; l < L; l++) {
      float* row = part + (int64_t)plan.rank[l] * 2 * ng;
      for (int64_t j = 0; j < ng; j++) {
        row[j] = B[(n + j) * p.B_stride[2] + l * p.B_stride[3]];
        row[ng + j] = C[(n + j) * p.C_stride[2] + l * p.C_stride[3]];
      }
    }
  }
}

struct Work {
  int64_t per_group, blocks, images;  // channels, blocks per group; batch * groups
  Work(const Problem& p, int lanes)
      : per_group(p.channels / p.groups),
        blocks((per_group + lanes - 1) / lanes),
        images(p.batch * p.groups) {}
  Block block(const Problem& p, int lanes, int64_t image, int64_t i) const {
    const int64_t rest = per_group - i * lanes;
    return {image / p.groups, image % p.groups * per_group + i * lanes,
            (int)(rest < lanes ? rest : lanes)};
  }
};

constexpr int OUT_OF_MEMORY = 1;

}  // namespace

EXPORT int pamm_abi_version() { return 4; }

EXPORT const char* pamm_compiler() {
#if defined(__clang__)
  return __VERSION__;
#else
  return "GCC " __VERSION__;
#endif
}

// Those that this processor has, best first, separated by spaces.
EXPORT const char* pamm_instruction_sets() {
  static char names[64];
  Choice all[3];
  const int count = choices(all);
  names[0] = 0;
  for (int i = 0; i < count; i++) {
    if (i) strcat(names, " ");
    strcat(names, all[i].name);
  }
  return names;
}

// Use this one instead of the best; false if the processor has none of that name.
EXPORT int pamm_use_instruction_set(const char* name) {
  Choice all[3];
  const int count = choices(all);
  for (int i = 0; i < count; i++)
    if (!strcmp(all[i].name, name)) {
      strcpy(instruction_set, name);
      return 1;
    }
  return 0;
}

EXPORT const char* pamm_instruction_set() { return choice().name; }

// y = the scan; 0, or OUT_OF_MEMORY.
EXPORT int pamm_scan_forward(const Problem* problem) {
  const Problem& p = *problem;
  const Kernel& kernel = *choice().kernel;
  const Work work(p, kernel.lanes);
  const int64_t tasks = work.images * work.blocks;
  const int threads = (int)(p.threads < tasks ? p.threads : tasks);
  const int64_t packed = 2 * p.state * p.length;

  Memory plan_memory(plan_bytes(p));
  if (!plan_memory.data) return OUT_OF_MEMORY;
  Plan plan;
  make_plan(p, false, plan_memory.data, plan);
  Memory bc_memory(work.images * packed * sizeof(float));
  const int64_t scratch_bytes = (kernel.forward_scratch(p, plan) + 63) / 64 * 64;
  Memory scratch(threads * scratch_bytes);
  if (!bc_memory.data || !scratch.data) return OUT_OF_MEMORY;
  float* bc = (float*)bc_memory.data;

  parallel(work.images, threads, [&](int64_t i, int) {
    pack(p, plan, kernel.states_forward, i, bc + i * packed);
  });
  parallel(tasks, threads, [&](int64_t i, int thread) {
    const int64_t image = i / work.blocks;
    kernel.forward(p, plan, work.block(p, kernel.lanes, image, i % work.blocks),
                   bc + image * packed, scratch.data + thread * scratch_bytes);
  });
  return 0;
}

// The seven gradients; 0, or OUT_OF_MEMORY.
EXPORT int pamm_scan_backward(const Problem* problem) {
  const Problem& p = *problem;
  const Kernel& kernel = *choice().kernel;
  const Work work(p, kernel.lanes);
  const int64_t packed = 2 * p.state * p.length, N = p.state, D = p.channels;

  // Sums over the channels of a group are made in a fixed number of parts.
  int64_t parts = 16 / work.images;
  parts = parts < 1 ? 1 : parts > work.blocks ? work.blocks : parts;
  const int64_t tasks = work.images * parts;
  const int threads = (int)(p.threads < tasks ? p.threads : tasks);

  Memory plan_memory(plan_bytes(p));
  if (!plan_memory.data) return OUT_OF_MEMORY;
  Plan plan;
  make_plan(p, true, plan_memory.data, plan);
  Memory bc_memory(work.images * packed * sizeof(float));
  const int64_t scratch_bytes = (kernel.backward_scratch(p, plan) + 63) / 64 * 64;
  Memory scratch(threads * scratch_bytes);
  const int64_t sums_size = 2 * N * plan.padded;
  Memory sums_memory(tasks * sums_size * sizeof(float));
  Memory per_image(p.batch * D * (N + 2) * sizeof(float));
  if (!bc_memory.data || !scratch.data || !sums_memory.data || !per_image.data) return OUT_OF_MEMORY;
  float *bc = (float*)bc_memory.data, *sums = (float*)sums_memory.data;
  float* grad_A = (float*)per_image.data;
  float *grad_D = grad_A + p.batch * D * N, *grad_bias = grad_D + p.batch * D;

  parallel(work.images, threads, [&](int64_t i, int) {
    pack(p, plan, kernel.states_backward, i, bc + i * packed);
  });
  parallel(tasks, threads, [&](int64_t i, int thread) {
    const int64_t image = i / parts, part = i % parts, b = image / p.groups;
    const int64_t first = work.blocks * part / parts, last = work.blocks * (part + 1) / parts;
    for (int64_t k = first; k < last; k++)
      kernel.backward(p, plan, work.block(p, kernel.lanes, image, k), bc + image * packed,
                      grad_A + b * D * N, grad_D + b * D, grad_bias + b * D,
                      sums + i * sums_size, k > first, scratch.data + thread * scratch_bytes);
  });
  // The parts' sums, in image order again.
  parallel(work.images * N, threads, [&](int64_t i, int) {
    const int64_t image = i / N, n = i % N;
    int64_t n0 = 0, ng = states_at(N, kernel.states_backward);
    while (n >= n0 + ng) n0 += ng, ng = states_at(N - n0, kernel.states_backward);
    const float* from = sums + image * parts * sums_size + 2 * n0 * plan.padded + (n - n0);
    for (int64_t rank = 0; rank < p.length; rank++) {
      float gB = 0, gC = 0;
      for (int64_t part = 0; part < parts; part++) {
        gB += from[part * sums_size + rank * 2 * ng];
        gC += from[part * sums_size + rank * 2 * ng + ng];
      }
      p.grad_B[i * p.length + plan.position[rank]] = gB;
      p.grad_C[i * p.length + plan.position[rank]] = gC;
    }
  });
  for (int64_t i = 0; i < D * N; i++) {
    float sum = 0;
    for (int64_t b = 0; b < p.batch; b++) sum += grad_A[b * D * N + i];
    p.grad_A[i] = sum;
  }
  for (int64_t i = 0; i < D; i++) {
    float D_sum = 0, bias_sum = 0;
    for (int64_t b = 0; b < p.batch; b++) {
      D_sum += grad_D[b * D + i];
      bias_sum += grad_bias[b * D + i];
    }
    p.grad_D[i] = D_sum;
    p.grad_bias[i] = bias_sum;
  }
  return 0;
}

// Multiply-adds of one thread per second, at the widest vectors: the ceiling of what is above.
EXPORT double pamm_peak_fma_per_second() { return choice().kernel->peak(); }
