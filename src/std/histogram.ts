/** Counts values into fixed ranges, as monitors want them. A value costs a few comparisons and no memory. */
export class Histogram {
  /** Upper bounds, included, rising. */
  readonly bounds: readonly number[];
  /** Values up to each bound and above the one before it; the last count is of those above all bounds. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] as number)) at += 1;
    counts[at] = (counts[at] as number) + 1;
    this.sum += value;
  }
}
