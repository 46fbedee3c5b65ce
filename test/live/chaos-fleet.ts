/**
 * Two umbel workers and a Python worker in a chaos run, and what is done to them.
 *
 * Owns the workers, who was killed and who stood still when. What is done to the broker is the test's.
 */
import type { ChildProcess } from 'node:child_process';
import type { Standstill } from './holder-verdict.ts';
import { childrenOf, isRunning, type LiveWorker } from './live-worker.ts';
import { monotonicMs, type RunLog } from './run-log.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A long task is in the way of three kills now and then: for that it must not be put aside. That it is counted, and waits for that, is as ever. */
export const anyKills = { UMBEL_WORKER_MAX_CRASHES: '1000' } as const;

/** Workers may be starting, or stand still beyond their lease. */
const replacedWithinMs = 60_000;

export interface ChaosFleetParams {
  readonly log: RunLog;
  readonly random: SeededRandom;
  readonly start: readonly (() => LiveWorker)[];
  /** Ready when it resolves. */
  startPython(): Promise<ChildProcess>;
  /** Its exit status; `telling` is called just before it is told. */
  endPython(python: ChildProcess, telling: () => void): Promise<number | null>;
}

export class ChaosFleet {
  readonly killedAtMs = new Map<number, number>();
  readonly standstills: Standstill[] = [];
  readonly done: Record<string, number> = {};
  /** Publishing waits while the broker is away. */
  brokerBack: Promise<unknown> = Promise.resolve();
  publishing: Promise<unknown> = Promise.resolve();
  readonly workers: LiveWorker[];
  readonly #killed: LiveWorker[] = [];
  readonly #params: ChaosFleetParams;
  #python: Promise<ChildProcess>;
  readonly #standing = new Set<Promise<void>>();

  constructor(params: ChaosFleetParams) {
    this.#params = params;
    this.workers = params.start.map((start) => start());
    this.#python = this.#startPython();
  }

  /** All have come up. */
  async ready(): Promise<void> {
    await Promise.all([...this.workers.map((worker) => worker.ready()), this.#python]);
  }

  count(kind: string): void {
    this.done[kind] = (this.done[kind] ?? 0) + 1;
  }

  /** Nobody stands still any more. */
  async onTheirFeet(): Promise<void> {
    await Promise.all(this.#standing);
  }

  /** Everybody is on their feet, the one that was started last too, which has no ear for TERM before; then all end in good order. */
  async end(): Promise<unknown[]> {
    await this.onTheirFeet();
    const python = await this.endPython();
    const ends = this.workers.map(async (worker) => {
      const { code, signal } = await (await worker.ready()).stop();
      return code ?? signal;
    });
    return [...(await Promise.all(ends)), python];
  }

  async killWorker(which: number): Promise<void> {
    const worker = this.workers[which] as LiveWorker;
    this.killedAtMs.set(worker.pid, monotonicMs());
    await worker.stop('SIGKILL');
    this.#killed.push(worker);
    this.workers[which] = (this.#params.start[which] as () => LiveWorker)();
  }

  /** What everybody has said of a task, also those that were killed since. Times of the log of runs are monotonic: now is `monotonicMs()`. */
  historyOf(taskId: string): string {
    const ran = this.#params.log.lines.filter((line) => line.taskId === taskId).map((line) => JSON.stringify(line));
    const said = [...this.#killed, ...this.workers].flatMap(({ pid, lines }) =>
      lines.filter((line) => line.includes(`"${taskId}"`)).map((line) => `${pid}: ${line}`),
    );
    return [`${taskId}, ${new Date().toISOString()} is ${monotonicMs()}`, ...ran, ...said].join('\n  ');
  }

  /** One that works, if any does; of this worker, if it has one. */
  async killChild(worker: number): Promise<void> {
    const { log, random } = this.#params;
    const alive = (of: number): number[] => childrenOf(of).filter((pid) => !this.killedAtMs.has(pid));
    const untilMs = monotonicMs() + replacedWithinMs;
    let candidates: number[] = [];
    // All may be being replaced. Nothing needs to start meanwhile: a slow machine may be done with all tasks by now.
    for (;;) {
      const working = new Set(log.lines.slice(-300).map(({ child }) => child));
      const victims = alive(worker).filter((pid) => working.has(pid));
      candidates = victims.length > 0 ? victims : this.workers.flatMap(({ pid }) => alive(pid));
      if (candidates.length > 0) break;
      if (monotonicMs() > untilMs) throw new Error(`a worker must have a child again within ${replacedWithinMs / 1000}s, but none has`);
      await elapsed(20);
    }
    const victim = random.pick(candidates);
    this.killedAtMs.set(victim, monotonicMs());
    process.kill(victim, 'SIGKILL');
  }

  /** The rest goes on meanwhile, and may kill it. */
  standStill(pid: number, ms: number, withChildren: boolean): void {
    const children = withChildren ? childrenOf(pid) : [];
    const pids = [pid, ...children];
    const fromMs = monotonicMs();
    for (const one of pids) signal(one, 'SIGSTOP');
    const over = elapsed(ms).then(() => {
      this.standstills.push({ pid, children, fromMs, toMs: monotonicMs() });
      for (const one of pids) signal(one, 'SIGCONT');
    });
    this.#standing.add(over);
    void over.then(() => this.#standing.delete(over));
  }

  /** Nothing is published while `during` lasts. */
  async withoutPublishing(during: () => Promise<void>): Promise<void> {
    const back = Promise.withResolvers<void>();
    this.brokerBack = back.promise;
    await this.publishing;
    await during();
    back.resolve();
  }

  async killPython(): Promise<void> {
    const python = await this.#python;
    this.killedAtMs.set(python.pid ?? 0, monotonicMs());
    const gone = new Promise((resolve) => python.once('exit', resolve));
    python.kill('SIGKILL');
    await gone;
    await this.restartPython();
  }

  async restartPython(): Promise<void> {
    this.#python = this.#startPython();
    await this.#python;
  }

  async endPython(): Promise<number | null> {
    const python = await this.#python;
    return this.#params.endPython(python, () => this.killedAtMs.set(python.pid ?? 0, monotonicMs()));
  }

  #startPython(): Promise<ChildProcess> {
    const started = this.#params.startPython();
    // Looked at when it is ended.
    started.catch(() => {});
    return started;
  }
}

/** How long a disturbance lasts, which is no waiting for anything. */
export function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function signal(pid: number, name: NodeJS.Signals): void {
  if (isRunning(pid)) process.kill(pid, name);
}
