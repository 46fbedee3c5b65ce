/**
 * How long tasks of each type take, as far as it bears on dispatch.
 *
 * Owns one moving average per task name. One long execution lifts it far above anything called short, so that a type counts as
 * short only after a run of short executions; a short type that was merely kept waiting by a busy machine stays one.
 */

/** Executions of a type before anything is said about it. */
const minimumSamples = 16;
/** What handling a message costs a child, however little the task itself does. */
const overheadMs = 0.02;
/** Weight of the newest execution. */
const weight = 0.1;

interface Pace {
  samples: number;
  /** Milliseconds. */
  averageMs: number;
}

export class TaskPace {
  readonly #paces = new Map<string, Pace>();

  note(taskName: string, runtimeSeconds: number): void {
    const ms = runtimeSeconds * 1000 + overheadMs;
    const pace = this.#paces.get(taskName);
    if (pace === undefined) {
      this.#paces.set(taskName, { samples: 1, averageMs: ms });
      return;
    }
    pace.samples += 1;
    pace.averageMs += (ms - pace.averageMs) * weight;
  }

  /** Expected milliseconds of one execution; Infinity while unknown. */
  estimateMs(taskName: string): number {
    const pace = this.#paces.get(taskName);
    return pace === undefined || pace.samples < minimumSamples ? Number.POSITIVE_INFINITY : pace.averageMs;
  }
}
