/**
 * How long tasks of each type take, as far as it bears on dispatch.
 *
 * Owns one estimate per task name, biased to the slow side: it jumps up with the slowest run and sinks slowly, so that a type
 * is called short only after a run of short executions, and one long execution ends that at once.
 */

/** Executions of a type before anything is said about it. */
const minimumSamples = 16;
/** Share of the old estimate that remains when a faster execution is seen. */
const decay = 0.9;

interface Pace {
  samples: number;
  /** Milliseconds. */
  estimateMs: number;
}

export class TaskPace {
  readonly #paces = new Map<string, Pace>();

  note(taskName: string, runtimeSeconds: number): void {
    const ms = runtimeSeconds * 1000;
    const pace = this.#paces.get(taskName);
    if (pace === undefined) {
      this.#paces.set(taskName, { samples: 1, estimateMs: ms });
      return;
    }
    pace.samples += 1;
    pace.estimateMs = ms >= pace.estimateMs ? ms : pace.estimateMs * decay + ms * (1 - decay);
  }

  /** Expected milliseconds of one execution; Infinity while unknown. */
  estimateMs(taskName: string): number {
    const pace = this.#paces.get(taskName);
    return pace === undefined || pace.samples < minimumSamples ? Number.POSITIVE_INFINITY : pace.estimateMs;
  }
}
