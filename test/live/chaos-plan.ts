/** What a chaos run does, drawn from its seed: what happens when, which tasks there are; and how they are sent and looked after. */
import { type App, taskHandle } from '../../src/client/umbel.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface Event<Kind> {
  readonly kind: Kind;
  /** When so many executions have begun. */
  readonly at: number;
}

export interface Work {
  readonly ms: number;
  readonly busy: boolean;
  readonly countdownMs: number;
}

const publishedAtOnce = 100;

/** Each kind as often as `events` says, times `rounds`, spread over the first nine tenths of the tasks. */
export function planEvents<Kind extends string>(
  random: SeededRandom,
  { events, rounds, taskCount }: { readonly events: Readonly<Record<Kind, number>>; readonly rounds: number; readonly taskCount: number },
): Event<Kind>[] {
  const kinds = (Object.keys(events) as Kind[]).flatMap((kind) =>
    Array.from({ length: Math.max(1, Math.round(events[kind] * rounds)) }, () => kind),
  );
  random.shuffle(kinds);
  const counts = kinds.map(() => 1 + random.below(Math.floor(taskCount * 0.9))).sort((a, b) => a - b);
  return kinds.map((kind, index) => ({ kind, at: counts[index] as number }));
}

/** Mostly short; a few long ones; a tenth with an ETA. */
export function planWork(
  random: SeededRandom,
  { taskCount, longestMs }: { readonly taskCount: number; readonly longestMs: number },
): Work[] {
  const longTasks = Math.max(3, Math.round(taskCount / 1000));
  const long = Array.from({ length: longTasks }, () => ({ ms: 1000 + random.below(longestMs - 1000), busy: false, countdownMs: 0 }));
  const longest = { ms: longestMs, busy: false, countdownMs: 0 };
  const farAway = { ms: 1, busy: false, countdownMs: longestMs };
  const short = Array.from({ length: taskCount - longTasks - 2 }, () => {
    const kind = random.below(100);
    const ms = kind < 60 ? 1 + random.below(5) : kind < 95 ? 5 + random.below(75) : 100 + random.below(900);
    const later = random.below(10) === 0;
    return {
      ms,
      busy: ms < 10 && random.below(2) === 0,
      countdownMs: later ? 1 + random.below(random.below(10) === 0 ? longestMs : 1000) : 0,
    };
  });
  return random.shuffle([...long, longest, farAway, ...short]);
}

/** All of it, not while the broker is away: a client's message that was perhaps sent is not the question here. */
export async function publish(
  fleet: { readonly brokerBack: Promise<unknown>; publishing: Promise<unknown> },
  work: readonly Work[],
  idOf: (value: number) => string,
): Promise<void> {
  const task = taskHandle<[number, number, boolean], number>('chaos.work');
  for (let from = 0; from < work.length; from += publishedAtOnce) {
    await fleet.brokerBack;
    const batch = work.slice(from, from + publishedAtOnce).map(({ ms, busy, countdownMs }, offset) => {
      const value = from + offset;
      const countdown = countdownMs === 0 ? {} : { countdown: countdownMs / 1000 };
      return task.applyAsync({ args: [value, ms, busy], taskId: idOf(value), ...countdown });
    });
    fleet.publishing = Promise.all(batch);
    await fleet.publishing;
  }
}

/** What is wrong with the results. */
export async function wrongResults(
  app: App,
  { taskCount, idOf, timeoutMs }: { readonly taskCount: number; readonly idOf: (value: number) => string; readonly timeoutMs: number },
): Promise<string[]> {
  const wrong: string[] = [];
  for (let from = 0; from < taskCount; from += publishedAtOnce) {
    const batch = Array.from({ length: Math.min(publishedAtOnce, taskCount - from) }, async (_, offset) => {
      const value = from + offset;
      try {
        const result = await app.result<number>(idOf(value)).get({ timeoutMs });
        if (result !== value) wrong.push(`${idOf(value)}: the result must be ${value}, got ${result}`);
      } catch (error) {
        wrong.push(`${idOf(value)}: ${String(error)}`);
      }
    });
    await Promise.all(batch);
  }
  return wrong;
}

/** The task of a Python worker in a chaos run, which says what it does in the same log; `settings` are lines about `app`. */
export function pythonTasks({
  app,
  settings,
  logPath,
}: {
  readonly app: string;
  readonly settings: string;
  readonly logPath: string;
}): string {
  return `
import os, time
from celery import Celery
from celery.signals import task_received
app = ${app}
${settings}
app.conf.worker_prefetch_multiplier = 4
app.conf.worker_redirect_stdouts = False

log = os.open('${logPath}', os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(what, task_id, worker, child, redelivered):
    os.write(log, b'%s %s python %d %d %d %d\\n' % (what, task_id.encode(), worker, child, 1 if redelivered else 0, time.clock_gettime_ns(time.CLOCK_MONOTONIC)))

@task_received.connect
def received(request=None, **kwargs):
    note(b'received', request.id, os.getpid(), 0, request.delivery_info.get('redelivered'))

@app.task(name='chaos.work', bind=True, acks_late=True, reject_on_worker_lost=True)
def work(self, value, ms, busy):
    redelivered = self.request.delivery_info.get('redelivered')
    note(b'start', self.request.id, os.getpid(), os.getpid(), redelivered)
    if busy:
        until = time.monotonic() + ms / 1000
        while time.monotonic() < until:
            pass
    else:
        time.sleep(ms / 1000)
    note(b'end', self.request.id, os.getpid(), os.getpid(), redelivered)
    return value
`;
}
