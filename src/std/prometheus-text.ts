/** Figures in the text format of Prometheus (0.0.4). Owns the text alone; what is in it is the caller's. */
import type { Histogram } from './histogram.ts';

export type Labels = Readonly<Record<string, string | number>>;
export type Sample = readonly [labels: Labels, value: number];

export class PrometheusText {
  readonly #prefix: string;
  readonly #lines: string[] = [];

  /** `prefix`: before every name. */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** No samples: nobody knows it yet, and nothing is said. */
  add(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): void {
    if (samples.length > 0) this.#head(name, type, help);
    for (const [labels, value] of samples) this.#sample(name, labelText(labels), value);
  }

  histogram(name: string, help: string, label: string, values: Iterable<readonly [string, Histogram]>): void {
    let first = true;
    for (const [value, { bounds, counts, sum }] of values) {
      if (first) this.#head(name, 'histogram', help);
      first = false;
      const own = `${label}="${escaped(value)}"`;
      let count = 0;
      for (let at = 0; at < counts.length; at += 1) {
        count += counts[at] as number;
        this.#sample(`${name}_bucket`, `{${own},le="${bounds[at] ?? '+Inf'}"}`, count);
      }
      this.#sample(`${name}_sum`, `{${own}}`, sum);
      this.#sample(`${name}_count`, `{${own}}`, count);
    }
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #head(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${this.#prefix}${name} ${help}`, `# TYPE ${this.#prefix}${name} ${type}`);
  }

  #sample(name: string, labels: string, value: number): void {
    this.#lines.push(`${this.#prefix}${name}${labels} ${Number.isFinite(value) ? value : 0}`);
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (sign) => (sign === '\n' ? '\\n' : `\\${sign}`));
}
