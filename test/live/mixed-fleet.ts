/**
 * An umbel and a Python worker on one queue, with one task that both know: `fleet.double`, which says in a log who starts and ends it, and ends once the client that
 * sent it may see its tasks end (`open`).
 *
 * Owns the folder, the log and the workers' code. Who sends, and who dies when, is for the tests.
 */
import type { Test } from 'tap';
import { taskHandle } from '../../src/client/umbel.ts';
import { PythonCelery } from '../python-celery.ts';
import { LiveFolder } from './live-folder.ts';
import type { LiveWorker } from './live-worker.ts';
import { RunLog } from './run-log.ts';
import { startedApp } from './started-client.ts';

export interface MixedFleetParams {
  readonly broker: string;
  readonly results: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Lines of Python about `app`. */
  readonly pythonSettings?: string;
  readonly hangsAfterMs: number;
}

/** Who has run it, and the result. */
export type Answer = readonly ['python' | 'umbel', number];

export const double = taskHandle<[number], Answer>('fleet.double');

const pythonTasks = ({ broker, results, pythonSettings = '' }: MixedFleetParams, logPath: string, gate: string): string => `
import os, time
from celery import Celery
app = Celery('tasks', broker='${broker}', backend='${results}')
${pythonSettings}
app.conf.worker_prefetch_multiplier = 4
app.conf.worker_redirect_stdouts = False

@app.task(name='fleet.double', bind=True, acks_late=True, reject_on_worker_lost=True)
def double(self, value):
    note('start', self.request)
    while not os.path.exists('${gate}' + self.request.id.split('-')[0]): time.sleep(0.01)
    time.sleep(0.01)
    note('end', self.request)
    return ['python', value * 2]

log = os.open('${logPath}', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(what, request):
    redelivered = 1 if request.delivery_info.get('redelivered') else 0
    line = '%s %s python %d %d %d %d\\n' % (what, request.id, os.getpid(), os.getpid(), redelivered, time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    os.write(log, line.encode())
`;

const umbelTasks = `
import { existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { task } from 'umbel';
const log = openSync(process.env.FLEET_LOG, 'a');
const worker = process.ppid;
function note(what, context) {
  const redelivered = context.deliveryInfo.redelivered ? 1 : 0;
  writeSync(log, what + ' ' + context.id + ' umbel ' + worker + ' ' + process.pid + ' ' + redelivered + ' ' + process.hrtime.bigint() + '\\n');
}
export const double = task({ name: 'fleet.double', bind: true, acksLate: true, rejectOnWorkerLost: true }, async (context, value) => {
  note('start', context);
  while (!existsSync(process.env.FLEET_GATE + context.id.split('-')[0])) await delay(10);
  await delay(10);
  note('end', context);
  return ['umbel', value * 2];
});
`;

export class MixedFleet {
  readonly folder: LiveFolder;
  readonly log: RunLog;
  readonly celery: PythonCelery;
  readonly #params: MixedFleetParams;
  readonly #module: string;

  constructor(t: Test, params: MixedFleetParams) {
    this.#params = params;
    this.folder = new LiveFolder(t);
    const logPath = this.folder.file('runs.log');
    this.log = new RunLog(logPath, params.hangsAfterMs);
    t.teardown(() => this.log.close());
    this.#module = this.folder.write('fleet.mjs', umbelTasks);
    this.celery = new PythonCelery(t, pythonTasks(params, logPath, this.folder.file('gate-')));
  }

  /** Our client, started. */
  client(t: Test): ReturnType<typeof startedApp> {
    return startedApp(t, { broker: this.#params.broker, backend: this.#params.results });
  }

  /** The umbel worker, not yet ready. */
  start(): LiveWorker {
    return this.folder.worker(['-A', this.#module, '-b', this.#params.broker, '-c', '2', '-n', 'fleet@localhost'], {
      env: {
        FLEET_LOG: this.folder.file('runs.log'),
        FLEET_GATE: this.folder.file('gate-'),
        // To the letter: many would leave nothing to the other kind.
        UMBEL_WORKER_PREFETCH_MULTIPLIER: '4',
        UMBEL_RESULT_BACKEND: this.#params.results,
        ...this.#params.env,
      },
    });
  }

  /** Tasks of this client, whose ids begin with its name, may end. */
  open(client: string): void {
    this.folder.write(`gate-${client}`, '');
  }

  /** Of a fleet whose workers have each been started twice. */
  verdict(t: Test): void {
    const lines = this.log.end();
    const pids = (kind: 'python' | 'umbel'): number[] => [
      ...new Set(lines.filter((line) => line.kind === kind).map(({ worker }) => worker)),
    ];
    t.equal(pids('umbel').length, 2, 'the umbel worker of before and the one of after');
    t.equal(pids('python').length, 2, 'and so in Python');
    const runs = Map.groupBy(
      lines.filter(({ what }) => what === 'start'),
      ({ taskId }) => taskId,
    );
    const unmarked = [...runs.values()].filter((all) => all.slice(1).some(({ redelivered }) => !redelivered));
    t.strictSame(unmarked, [], 'what ran twice was marked redelivered');
  }
}
