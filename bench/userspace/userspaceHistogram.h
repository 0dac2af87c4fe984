/* Latencies of any size in 64 buckets for each power of two: an error of 1.6 % at most. */
#pragma once

enum { SUB_BITS = 6, SUB_BUCKETS = 1 << SUB_BITS, BUCKETS = SUB_BUCKETS * (64 - SUB_BITS + 1) };

struct histogram { long total, count[BUCKETS]; };

static inline int bucket_of(unsigned long ns) {
  if (ns < SUB_BUCKETS) return ns;
  int shift = 63 - __builtin_clzl(ns) - SUB_BITS;
  return (shift + 1) * SUB_BUCKETS + (int)((ns >> shift) - SUB_BUCKETS);
}

/* The upper end of a bucket. */
static inline double end_of_bucket(int bucket) {
  if (bucket < SUB_BUCKETS) return bucket;
  int shift = bucket / SUB_BUCKETS - 1;
  return (double)((((unsigned long)(bucket % SUB_BUCKETS) + SUB_BUCKETS + 1) << shift) - 1);
}

static inline void record(struct histogram *h, long ns) {
  h->count[bucket_of(ns > 0 ? ns : 0)]++;
  h->total++;
}

static inline void merge(struct histogram *into, const struct histogram *from) {
  for (int i = 0; i < BUCKETS; i++) into->count[i] += from->count[i];
  into->total += from->total;
}

/* 0 when nothing was recorded. */
static inline double quantile_us(const struct histogram *h, double q) {
  long seen = 0, wanted = (long)(q * h->total);
  if (wanted >= h->total) wanted = h->total - 1;
  for (int i = 0; i < BUCKETS; i++) {
    seen += h->count[i];
    if (seen > wanted && h->count[i]) return end_of_bucket(i) / 1e3;
  }
  return 0;
}
