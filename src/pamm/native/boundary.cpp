// Boundary evaluation of one image: smoothing and non-maximum suppression, and, at many thresholds,
// thinning and the one-to-one matching with the ground truth, in double precision.
//
// pamm/metrics/edges.py and pamm/metrics/boundary_matching.py are the plain form of the same, with
// the sources. Sums are made in the order of SciPy's there, so that both agree to the last bits.

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum { OK = 0, OUT_OF_MEMORY = 1 };

// An array that is freed at the end of the block; null where the memory was not to be had.
template <class V> struct Array {
  V* data;
  explicit Array(int64_t n) : data((V*)calloc(n > 0 ? n : 1, sizeof(V))) {}
  ~Array() { free(data); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  V& operator[](int64_t i) { return data[i]; }
  const V& operator[](int64_t i) const { return data[i]; }
};

// ---- From probabilities to ridges

// The index that i, up to any distance outside, is mirrored to: ... 1 0 | 0 1 ... n-1 | n-1 ...
int64_t mirrored(int64_t i, int64_t n) {
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

// Convolve both ways with the normalised triangle of a radius, ends mirrored.
void triangle_smooth(const double* image, int64_t H, int64_t W, int radius, double* out,
                     double* columns, double* line) {
  const auto weight = [radius](int j) {
    return (double)(radius + 1 - j) / ((radius + 1) * (radius + 1));
  };
  const double middle = weight(0);
  for (int64_t y = 0; y < H; y++) {
    double* to = columns + y * W;
    const double* centre = image + y * W;
    for (int64_t x = 0; x < W; x++) to[x] = centre[x] * middle;
    for (int j = radius; j > 0; j--) {
      const double share = weight(j);
      const double* above = image + mirrored(y - j, H) * W;
      const double* below = image + mirrored(y + j, H) * W;
      for (int64_t x = 0; x < W; x++) to[x] += (above[x] + below[x]) * share;
    }
  }
  for (int64_t y = 0; y < H; y++) {
    const double* from = columns + y * W;
    double* to = out + y * W;
    for (int64_t x = -radius; x < W + radius; x++) line[x + radius] = from[mirrored(x, W)];
    const double* centre = line + radius;
    for (int64_t x = 0; x < W; x++) to[x] = centre[x] * middle;
    for (int j = radius; j > 0; j--) {
      const double share = weight(j);
      for (int64_t x = 0; x < W; x++) to[x] += (centre[x - j] + centre[x + j]) * share;
    }
  }
}

// Central differences along a line of n values that are `step` apart, one-sided at the ends.
void gradient_of_line(const double* from, double* to, int64_t n, int64_t step) {
  if (n < 2) {
    for (int64_t i = 0; i < n; i++) to[i * step] = 0;
    return;
  }
  to[0] = from[step] - from[0];
  for (int64_t i = 1; i + 1 < n; i++)
    to[i * step] = (from[(i + 1) * step] - from[(i - 1) * step]) / 2.0;
  to[(n - 1) * step] = from[(n - 1) * step] - from[(n - 2) * step];
}

void gradient(const double* image, int64_t H, int64_t W, int axis, double* out) {
  if (axis == 1) {
    for (int64_t y = 0; y < H; y++) gradient_of_line(image + y * W, out + y * W, W, 1);
    return;
  }
  if (H < 2) {
    for (int64_t x = 0; x < H * W; x++) out[x] = 0;
    return;
  }
  for (int64_t y = 0; y < H; y++) {
    const int64_t before = y > 0 ? y - 1 : 0, after = y + 1 < H ? y + 1 : H - 1;
    const double span = (double)(after - before);
    const double *low = image + before * W, *high = image + after * W;
    for (int64_t x = 0; x < W; x++) out[y * W + x] = (high[x] - low[x]) / span;
  }
}

double clamp(double value, double high) { return value < 0 ? 0 : value > high ? high : value; }

// Bilinear value at (y, x), clamped to the image.
double interpolate(const double* image, int64_t H, int64_t W, double y, double x) {
  y = clamp(y, H - 1), x = clamp(x, W - 1);
  const int64_t top = (int64_t)y, left = (int64_t)x;
  const int64_t bottom = std::min(top + 1, H - 1), right = std::min(left + 1, W - 1);
  y -= top, x -= left;
  const double upper = image[top * W + left] * (1 - x) + image[top * W + right] * x;
  const double lower = image[bottom * W + left] * (1 - x) + image[bottom * W + right] * x;
  return upper * (1 - y) + lower * y;
}

// 1 in the middle, falling linearly to 0 over `border` pixels at both ends.
double ramp(int64_t position, int64_t length, int64_t border) {
  const int64_t distance = std::min(position, length - 1 - position);
  return border ? std::min((double)distance / border, 1.0) : 1.0;
}

// ---- Thinning of many maps at once: map k is bit k of a pixel's words

struct Pixels {
  int64_t count, words;
  const int32_t* at;    // [count] places in the frame
  int64_t row_step;     // of the frame, which is one pixel wider than the image on every side
  uint64_t* frame;      // [places][words]
};

// What one sub-iteration of Guo and Hall deletes; x: the eight neighbours, counter-clockwise from
// the east.
inline uint64_t deletable(const uint64_t x[8], bool second) {
  const uint64_t c0 = ~x[0] & (x[1] | x[2]), c1 = ~x[2] & (x[3] | x[4]);
  const uint64_t c2 = ~x[4] & (x[5] | x[6]), c3 = ~x[6] & (x[7] | x[0]);
  const uint64_t a = c0 | c1, b = c2 | c3;
  const uint64_t one_side = (a | b) & ~((c0 & c1) | (c2 & c3) | (a & b));
  const uint64_t p0 = x[0] | x[1], p1 = x[2] | x[3], p2 = x[4] | x[5], p3 = x[6] | x[7];
  const uint64_t q0 = x[1] | x[2], q1 = x[3] | x[4], q2 = x[5] | x[6], q3 = x[7] | x[0];
  const uint64_t two_p = (p0 & p1) | (p2 & p3) | ((p0 | p1) & (p2 | p3));
  const uint64_t two_q = (q0 & q1) | (q2 & q3) | ((q0 | q1) & (q2 | q3));
  const uint64_t two_or_three = two_p & two_q & ~(p0 & p1 & p2 & p3 & q0 & q1 & q2 & q3);
  const uint64_t end = second ? (x[5] | x[6] | ~x[3]) & x[4] : (x[1] | x[2] | ~x[7]) & x[0];
  return one_side & two_or_three & ~end;
}

void thin(const Pixels& pixels, uint64_t* deleted) {
  const int64_t words = pixels.words, row = pixels.row_step * words;
  const int64_t step[8] = {words, words - row, -row, -words - row,
                           -words, row - words, row, row + words};
  for (bool changed = true; changed;) {
    changed = false;
    for (int second = 0; second < 2; second++) {
      uint64_t any = 0;
      for (int64_t i = 0; i < pixels.count; i++) {
        const uint64_t* here = pixels.frame + pixels.at[i] * words;
        for (int64_t w = 0; w < words; w++) {
          uint64_t out = 0;
          if (here[w]) {
            uint64_t x[8];
            for (int n = 0; n < 8; n++) x[n] = here[step[n] + w];
            out = deletable(x, second) & here[w];
          }
          deleted[i * words + w] = out;
          any |= out;
        }
      }
      if (!any) continue;
      changed = true;
      for (int64_t i = 0; i < pixels.count; i++)
        for (int64_t w = 0; w < words; w++)
          pixels.frame[pixels.at[i] * words + w] &= ~deleted[i * words + w];
    }
  }
}

// ---- One-to-one matching that is kept while pixels come and go

// A cheapest one among the largest matchings of predicted and true pixels (sides 0 and 1).
//
// Leaving a predicted pixel alone costs `alone`, more than any rearrangement can save, a true one
// nothing. Every pixel has a price; a pair's cost is at least the sum of its two prices, and equal
// for the pairs in use; a price is at most the cost of being alone, and equal for those who are.
// So the matching is a cheapest one (linear programming duality). When a pixel appears, or when one
// loses its partner, the shortest way along alternating pairs to somebody who may be alone restores
// that (J. Munkres, 1957; G. Mills-Tettey et al., 2007). With all costs 0 it is a search for
// augmenting paths that never searches twice where no true pixel is free.
struct Matching {
  static constexpr int32_t NOBODY = -1;

  struct Side {
    int64_t count;
    const int64_t* first;    // [count + 1] into `near`
    const int32_t* near;     // neighbours on the other side
    const int32_t* cost;     // of each
    int64_t alone;
    int64_t* price;
    int32_t* partner;
    uint8_t* present;
    int64_t* distance;       // of this search
    int64_t* reached;        // the search in which `distance` was set
    int32_t* before;         // on the way: the pixel of the other side
    int32_t* visited;        // in this search, in the order of their distance
  } side[2];

  struct Step {
    int64_t distance;
    int32_t pixel;
    bool operator<(const Step& other) const { return distance > other.distance; }  // nearest on top
  };
  Step* heap;
  int64_t search = 0, pairs = 0;

  void add(int32_t pixel) {
    Side &own = side[0], &other = side[1];
    int64_t price = own.alone;
    for (int64_t e = own.first[pixel]; e < own.first[pixel + 1]; e++)
      price = std::min(price, own.cost[e] - other.price[own.near[e]]);
    own.price[pixel] = price;
    own.present[pixel] = 1;
    settle(0, pixel);
  }

  void remove(int32_t pixel) {
    Side& own = side[0];
    const int32_t partner = own.partner[pixel];
    own.present[pixel] = 0;
    own.partner[pixel] = NOBODY;
    if (partner == NOBODY) return;
    side[1].partner[partner] = NOBODY;
    pairs--;
    settle(1, partner);
  }

 private:
  // Find a place for a pixel that has no partner and is perhaps not content to be alone.
  void settle(int s, int32_t start) {
    Side &own = side[s], &other = side[1 - s];
    if (own.price[start] == own.alone) return;
    search++;
    int64_t heap_size = 0, visits = 0, passed = 0;
    int64_t best = own.alone - own.price[start];
    int32_t last = start;      // who is left alone, or pairs up, at the end of the best way
    bool pairs_up = false;     // `last` is of the other side, and alone until now
    own.distance[start] = 0, own.reached[start] = search, own.before[start] = NOBODY;
    heap[heap_size++] = {0, start};
    while (heap_size) {
      const Step here = heap[0];
      if (here.distance >= best) break;
      std::pop_heap(heap, heap + heap_size--);
      if (here.distance > own.distance[here.pixel]) continue;  // a nearer way was found since
      own.visited[visits++] = here.pixel;
      for (int64_t e = own.first[here.pixel]; e < own.first[here.pixel + 1]; e++) {
        const int32_t next = own.near[e];
        if (!other.present[next] || next == own.partner[here.pixel]) continue;
        const int64_t distance =
            here.distance + own.cost[e] - own.price[here.pixel] - other.price[next];
        if (distance >= best || (other.reached[next] == search && distance >= other.distance[next]))
          continue;
        if (other.reached[next] != search) other.visited[passed++] = next;
        other.reached[next] = search;
        other.distance[next] = distance;
        other.before[next] = here.pixel;
        const int32_t displaced = other.partner[next];
        if (displaced == NOBODY) {
          best = distance, last = next, pairs_up = true;
          continue;
        }
        own.distance[displaced] = distance, own.reached[displaced] = search;
        own.before[displaced] = next;
        heap[heap_size++] = {distance, displaced};
        std::push_heap(heap, heap + heap_size);
        const int64_t left_alone = distance + own.alone - own.price[displaced];
        if (left_alone < best) best = left_alone, last = displaced, pairs_up = false;
      }
    }
    for (int64_t i = 0; i < visits; i++) {
      const int32_t pixel = own.visited[i];
      own.price[pixel] += best - own.distance[pixel];
    }
    for (int64_t i = 0; i < passed; i++) {
      const int32_t pixel = other.visited[i];
      if (other.distance[pixel] < best) other.price[pixel] -= best - other.distance[pixel];
    }
    // Exchange partners along the way, from its end.
    int32_t theirs = pairs_up ? last : own.before[last];
    if (!pairs_up && theirs != NOBODY) own.partner[last] = NOBODY;
    if (pairs_up) pairs++;
    while (theirs != NOBODY) {
      const int32_t mine = other.before[theirs], previous = own.before[mine];
      own.partner[mine] = theirs, other.partner[theirs] = mine;
      theirs = previous;
    }
  }
};

// ---- The pairs that may be made

struct Offset {
  int32_t dy, dx, cost;
};

// The steps no longer than max_distance, shortest first.
int64_t steps_within(double max_distance, int64_t reach, bool costs, Offset* out) {
  int64_t count = 0;
  for (int64_t dy = -reach; dy <= reach; dy++)
    for (int64_t dx = -reach; dx <= reach; dx++) {
      const double distance = sqrt((double)(dy * dy + dx * dx));
      if (distance <= max_distance)
        out[count++] = {(int32_t)dy, (int32_t)dx, costs ? (int32_t)lrint(100 * distance) : 0};
    }
  std::sort(out, out + count, [](const Offset& a, const Offset& b) {
    const int64_t left = (int64_t)a.dy * a.dy + (int64_t)a.dx * a.dx;
    const int64_t right = (int64_t)b.dy * b.dy + (int64_t)b.dx * b.dx;
    return left != right ? left < right : a.dy != b.dy ? a.dy < b.dy : a.dx < b.dx;
  });
  return count;
}

struct Scene {
  int64_t H, W, pixels, targets;
  const int32_t* at;      // [pixels] place in the image
  const int32_t* number;  // [H * W] of the true pixel there, or NOBODY
};

// Calls visit(target, cost) for the true pixels near a predicted one, nearest first.
template <class Visit>
void for_targets_near(const Scene& scene, int64_t pixel, const Offset* offsets, int64_t nearby,
                      Visit visit) {
  const int64_t y = scene.at[pixel] / scene.W, x = scene.at[pixel] % scene.W;
  for (int64_t i = 0; i < nearby; i++) {
    const int64_t ty = y + offsets[i].dy, tx = x + offsets[i].dx;
    if (ty < 0 || ty >= scene.H || tx < 0 || tx >= scene.W) continue;
    const int32_t target = scene.number[ty * scene.W + tx];
    if (target != Matching::NOBODY) visit(target, offsets[i].cost);
  }
}

struct SideMemory {
  Array<int64_t> first, price, distance, reached;
  Array<int32_t> near, cost, partner, before, visited;
  Array<uint8_t> present;
  SideMemory(int64_t count, int64_t pairs)
      : first(count + 1), price(count), distance(count), reached(count), near(pairs), cost(pairs),
        partner(count), before(count), visited(count), present(count) {}
  bool ok() const {
    return first.data && price.data && distance.data && reached.data && near.data && cost.data &&
           partner.data && before.data && visited.data && present.data;
  }
  Matching::Side side(int64_t count, int64_t alone) {
    for (int64_t i = 0; i < count; i++) partner[i] = Matching::NOBODY;
    return {count, first.data, near.data, cost.data, alone, price.data, partner.data, present.data,
            distance.data, reached.data, before.data, visited.data};
  }
};

// Follow the maps from the highest threshold to the lowest: `hits` gets the bits of the pixels that
// have a partner, `recalled` the number of pairs.
int match_at_thresholds(const Scene& scene, const Offset* offsets, int64_t nearby,
                        const uint64_t* lines, int64_t words, int64_t K, uint64_t* hits,
                        int64_t* recalled) {
  int64_t pairs = 0;
  for (int64_t i = 0; i < scene.pixels; i++)
    for_targets_near(scene, i, offsets, nearby, [&](int32_t, int32_t) { pairs++; });
  SideMemory ours(scene.pixels, pairs), theirs(scene.targets, pairs);
  Array<Matching::Step> heap(pairs + 1);
  Array<int32_t> active(scene.pixels);
  if (!ours.ok() || !theirs.ok() || !heap.data || !active.data) return OUT_OF_MEMORY;
  pairs = 0;
  for (int64_t i = 0; i < scene.pixels; i++) {
    for_targets_near(scene, i, offsets, nearby, [&](int32_t target, int32_t cost) {
      ours.near[pairs] = target, ours.cost[pairs++] = cost;
      theirs.first[target + 1]++;
    });
    ours.first[i + 1] = pairs;
  }
  for (int64_t t = 0; t < scene.targets; t++) theirs.first[t + 1] += theirs.first[t];
  for (int64_t i = 0; i < scene.pixels; i++)
    for (int64_t e = ours.first[i]; e < ours.first[i + 1]; e++) {
      const int32_t target = ours.near[e];
      const int64_t slot = theirs.first[target] + theirs.visited[target]++;
      theirs.near[slot] = (int32_t)i, theirs.cost[slot] = ours.cost[e];
    }
  memset(theirs.present.data, 1, scene.targets);
  const int64_t dearest = nearby ? offsets[nearby - 1].cost : 0;
  const int64_t alone = 1 + dearest * (1 + std::min(scene.pixels, scene.targets));
  Matching matching;
  matching.side[0] = ours.side(scene.pixels, alone);
  matching.side[1] = theirs.side(scene.targets, 0);
  matching.heap = heap.data;

  int64_t some = 0;
  for (int64_t i = 0; i < scene.pixels; i++)
    if (ours.first[i] < ours.first[i + 1]) active[some++] = (int32_t)i;
  for (int64_t k = K - 1; k >= 0; k--) {
    const int64_t word = k / 64;
    const uint64_t bit = (uint64_t)1 << (k % 64);
    for (int64_t j = 0; j < some; j++)
      if (ours.present[active[j]] && !(lines[active[j] * words + word] & bit))
        matching.remove(active[j]);
    for (int64_t j = 0; j < some; j++)
      if (!ours.present[active[j]] && (lines[active[j] * words + word] & bit))
        matching.add(active[j]);
    for (int64_t j = 0; j < some; j++)
      if (ours.partner[active[j]] != Matching::NOBODY) hits[active[j] * words + word] |= bit;
    recalled[k] += matching.pairs;
  }
  return OK;
}

}  // namespace

// Probabilities (H, W) -> the same, smoothed by a triangle of radius `smoothing`, and 0 off the
// ridges. Constants as in edges.edge_nms.
EXPORT int pamm_boundary_edges(const double* probability, int64_t H, int64_t W, int32_t smoothing,
                               double* edges) {
  const int orientation = 4;
  const int64_t size = H * W, most = std::max(orientation, smoothing);
  Array<double> smooth(size), wide(size), a(size), b(size), xx(size), xy(size), yy(size);
  Array<double> line(W + 2 * most);
  if (!smooth.data || !wide.data || !a.data || !b.data || !xx.data || !xy.data || !yy.data ||
      !line.data)
    return OUT_OF_MEMORY;
  triangle_smooth(probability, H, W, smoothing, smooth.data, a.data, line.data);
  triangle_smooth(smooth.data, H, W, orientation, wide.data, a.data, line.data);
  gradient(wide.data, H, W, 0, a.data);
  gradient(wide.data, H, W, 1, b.data);
  gradient(b.data, H, W, 1, xx.data);
  gradient(a.data, H, W, 1, xy.data);
  gradient(a.data, H, W, 0, yy.data);
  const int64_t border = std::min((int64_t)5, std::min(H / 2, W / 2));
  for (int64_t y = 0; y < H; y++) {
    const double fade = ramp(y, H, border);
    for (int64_t x = 0; x < W; x++) {
      const int64_t i = y * W + x;
      const double value = smooth[i];
      edges[i] = 0;
      if (value <= 0) continue;
      const double below = xx[i] + 1e-5;
      const double tangent = yy[i] * (xy[i] > 0 ? -1.0 : 1.0) / (below == 0 ? 1e-30 : below);
      const double dx = 1 / sqrt(1 + tangent * tangent), dy = dx * tangent;
      if (value * 1.01 >= interpolate(smooth.data, H, W, y - dy, x - dx) &&
          value * 1.01 >= interpolate(smooth.data, H, W, y + dy, x + dx))
        edges[i] = value * (fade * ramp(x, W, border));
    }
  }
  return OK;
}

// Cut a map of boundary strength (H, W) strictly above each of K ascending thresholds, thin, and
// match with each of `annotators` ground truths (H, W).
//
// Per threshold: `predicted` counts pixels of the prediction, `matched` those that have a partner in
// at least one ground truth, `recalled` the pixels of all ground truths that have a partner. With
// `cheapest` pairs are as near as can be among the largest matchings; which ones they are shows in
// `matched` only where there are several ground truths.
EXPORT int pamm_boundary_counts(const double* edges, int64_t H, int64_t W, const uint8_t* truths,
                                int64_t annotators, const double* thresholds, int64_t K,
                                double max_distance, int32_t cheapest, int64_t* matched,
                                int64_t* predicted, int64_t* recalled) {
  const int64_t words = (K + 63) / 64, step = W + 2;
  int64_t count = 0;
  for (int64_t i = 0; i < H * W; i++) count += edges[i] > thresholds[0];
  Array<int32_t> at(count), place(count);  // of the pixels, in the image and in the frame
  Array<uint64_t> frame((H + 2) * step * words), lines(count * words), hits(count * words);
  if (!at.data || !place.data || !frame.data || !lines.data || !hits.data) return OUT_OF_MEMORY;
  count = 0;
  for (int64_t i = 0; i < H * W; i++) {
    if (!(edges[i] > thresholds[0])) continue;
    at[count] = (int32_t)i, place[count] = (int32_t)((i / W + 1) * step + i % W + 1);
    const int64_t above = std::lower_bound(thresholds, thresholds + K, edges[i]) - thresholds;
    for (int64_t k = 0; k < above; k++)
      frame[place[count] * words + k / 64] |= (uint64_t)1 << (k % 64);
    count++;
  }
  thin({count, words, place.data, step, frame.data}, lines.data);
  // Of what is left, pixels that are in no map any more are dropped.
  memset(predicted, 0, K * sizeof(int64_t));
  memset(recalled, 0, K * sizeof(int64_t));
  memset(matched, 0, K * sizeof(int64_t));
  int64_t kept = 0;
  for (int64_t i = 0; i < count; i++) {
    uint64_t any = 0;
    for (int64_t w = 0; w < words; w++) {
      const uint64_t word = frame[place[i] * words + w];
      lines[kept * words + w] = word, any |= word;
      for (uint64_t bits = word; bits; bits &= bits - 1)
        predicted[w * 64 + __builtin_ctzll(bits)]++;
    }
    if (any) at[kept++] = at[i];
  }
  count = kept;

  const int64_t reach = (int64_t)std::min(max_distance, (double)(H + W));
  Array<Offset> offsets((2 * reach + 1) * (2 * reach + 1));
  Array<int32_t> number(H * W);
  if (!offsets.data || !number.data) return OUT_OF_MEMORY;
  const int64_t nearby = steps_within(max_distance, reach, cheapest, offsets.data);
  for (int64_t g = 0; g < annotators; g++) {
    int64_t targets = 0;
    for (int64_t i = 0; i < H * W; i++)
      number[i] = truths[g * H * W + i] ? (int32_t)targets++ : Matching::NOBODY;
    const int failure = match_at_thresholds({H, W, count, targets, at.data, number.data},
                                            offsets.data, nearby, lines.data, words, K, hits.data,
                                            recalled);
    if (failure) return failure;
  }
  for (int64_t i = 0; i < count; i++)
    for (int64_t w = 0; w < words; w++)
      for (uint64_t bits = hits[i * words + w]; bits; bits &= bits - 1)
        matched[w * 64 + __builtin_ctzll(bits)]++;
  return OK;
}
