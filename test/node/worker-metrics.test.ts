/** What `/metrics` says: text that Prometheus reads, with bounded labels, for less than five milliseconds of the processor. */
import t from 'tap';
import { TaskMeter } from '../../src/consumer/task-meter.ts';
import { type Lag, type WorkerMetricsParams, workerMetrics } from '../../src/node/worker-metrics.ts';
import { ChildRestarts } from '../../src/pool/child-restarts.ts';

const lag: Lag = { percentile: () => 25e6, max: 60e6, reset: () => {} };

function scene(): { meter: TaskMeter; restarts: ChildRestarts; metrics(params?: object): string } {
  const meter = new TaskMeter();
  const restarts = new ChildRestarts();
  const params = {
    broker: { state: 'connected' },
    consumer: { received: 7, active: [{}], rateLimits: { waiting: 2 }, prefetch: 8 },
    pool: { jobCount: 3, size: 2, pids: [1, 2], restarts },
    settler: { counts: { succeeded: 4, retried: 1 }, totals: new Map([['proj.add', 5]]), news: { meter } },
    monitoring: { brokerRoundTripMs: 1.5 },
  };
  const metrics = (more: object = {}): string => workerMetrics({ ...params, ...more } as unknown as WorkerMetricsParams, lag);
  return { meter, restarts, metrics };
}

function run(meter: TaskMeter, { queue = 'celery', task = 'proj.add', waitMs = 20, seconds = 0.2 } = {}): void {
  const request = { delivery: { queue }, receivedAtMs: performance.now() - waitMs } as Parameters<TaskMeter['received']>[0];
  meter.received(request);
  meter.started(request);
  meter.ended(task, seconds);
}

const sampleLine = /^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (-?[\d.e+-]+)$/;

/** Samples by name and labels; throws for what the format does not allow. */
function parse(text: string): Map<string, number> {
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      if (types.has(type[1]!)) throw new Error(`a second TYPE: ${line}`);
      types.set(type[1]!, type[2]!);
      continue;
    }
    if (/^# HELP \S+ \S/.test(line)) continue;
    const [, name, labels = '', value] = sampleLine.exec(line) ?? [];
    if (name === undefined) throw new Error(`no line of the format: ${line}`);
    if (!types.has(name) && types.get(name.replace(/_(bucket|sum|count)$/, '')) !== 'histogram') throw new Error(`no TYPE before: ${line}`);
    if (samples.has(`${name}{${labels}}`)) throw new Error(`twice: ${line}`);
    samples.set(`${name}{${labels}}`, Number(value));
  }
  return samples;
}

t.test('how long tasks waited and ran, in ranges that add up', async (t) => {
  const { meter, metrics } = scene();
  for (const seconds of [0.0005, 0.2, 0.2, 4000]) run(meter, { seconds });
  const samples = parse(metrics());
  const bucket = (le: string): number | undefined => samples.get(`umbel_task_run_seconds_bucket{task="proj.add",le="${le}"}`);
  t.same([bucket('0.001'), bucket('0.1'), bucket('0.5'), bucket('1800'), bucket('+Inf')], [1, 1, 3, 3, 4]);
  t.equal(samples.get('umbel_task_run_seconds_count{task="proj.add"}'), 4);
  t.equal(samples.get('umbel_task_run_seconds_sum{task="proj.add"}'), 4000.4005);
  t.equal(samples.get('umbel_task_wait_seconds_count{queue="celery"}'), 4);
  t.ok(samples.get('umbel_task_wait_seconds_sum{queue="celery"}')! >= 0.08);
  t.equal(samples.get('umbel_task_wait_seconds_bucket{queue="celery",le="0.01"}'), 0);
});

t.test('a figure nobody knows is left out', async (t) => {
  const { meter, metrics } = scene();
  const before = parse(metrics({ monitoring: { brokerRoundTripMs: null } }));
  t.equal(before.has('umbel_last_delivery_age_seconds{}'), false);
  t.equal(before.has('umbel_broker_round_trip_seconds{}'), false);
  run(meter, { waitMs: 5000 });
  const after = parse(metrics());
  t.ok(after.get('umbel_last_delivery_age_seconds{}')! >= 5);
  t.equal(after.get('umbel_broker_round_trip_seconds{}'), 0.0015);
  t.equal(after.get('umbel_event_loop_lag_seconds{quantile="1"}')!.toFixed(3), '0.040', 'beyond what the timer itself takes');
});

t.test('failures by type, restarts by cause', async (t) => {
  const { meter, restarts, metrics } = scene();
  for (const text of ["TypeError('no')", "TypeError('(x)')", 'WorkerLostError("it\'s gone")', '(?)']) meter.failed(text);
  const gone = (child: object, exitCode: number | null): void =>
    restarts.note(
      { tenure: { killedBecause: null, renewal: null, used: false }, wasReady: true, letGo: false, killed: null, ...child } as never,
      {
        pid: 1,
        index: 1,
        exitCode,
        signal: null,
      },
    );
  gone({}, 1);
  gone({ wasReady: false }, 1);
  gone({ tenure: { killedBecause: 'it held too much', renewal: null } }, null);
  gone({ killed: { outcome: { kind: 'time-limit' } } }, null);
  gone({ killed: { outcome: { kind: 'terminated' } } }, null);
  gone({ letGo: true, tenure: { killedBecause: null, renewal: null, used: true } }, 0);
  gone({ letGo: true, tenure: { killedBecause: null, renewal: 'max_memory', used: false } }, 0);
  gone({ letGo: true }, 0);
  const samples = parse(metrics());
  const byType = (type: string): number | undefined => samples.get(`umbel_task_failures_total{type="${type}"}`);
  t.same([byType('TypeError'), byType('WorkerLostError'), byType('unknown')], [2, 1, 1]);
  const byCause = (cause: string): number | undefined => samples.get(`umbel_child_restarts_total{cause="${cause}"}`);
  const causes = ['crash', 'start_failed', 'max_memory_hard', 'time_limit', 'terminated', 'max_tasks', 'max_memory', 'retired'];
  t.same(causes.map(byCause), [1, 1, 1, 1, 1, 1, 1, 1]);
  t.equal(byCause('pool_restart'), 0, 'also what has not happened');
});

t.test('names are told apart up to a bound, and no name breaks the text', async (t) => {
  const { meter, metrics } = scene();
  run(meter, { task: 'a "quoted" \\ name\nin two lines' });
  for (let number = 0; number < 1000; number += 1) {
    run(meter, { task: `proj.task${number}`, queue: `q${number}` });
    meter.failed(`Error${number}('no')`);
  }
  const text = metrics();
  const samples = parse(text);
  t.equal(samples.get('umbel_task_run_seconds_count{task="a \\"quoted\\" \\\\ name\\nin two lines"}'), 1);
  t.equal(samples.get('umbel_task_run_seconds_count{task="other"}'), 1000 - 99);
  t.equal(samples.get('umbel_task_wait_seconds_count{queue="other"}'), 1000 - 49);
  t.equal(samples.get('umbel_task_failures_total{type="other"}'), 1000 - 50);
  const totals = new Map(Array.from({ length: 1000 }, (_, number) => [`proj.task${number}`, 2]));
  const started = parse(metrics({ settler: { counts: {}, totals, news: { meter } } }));
  t.equal(started.get('umbel_tasks_started_total{task="proj.task99"}'), 2);
  t.equal(started.get('umbel_tasks_started_total{task="proj.task100"}'), undefined);
  t.equal(started.get('umbel_tasks_started_total{task="other"}'), 2 * 900);
  t.ok(samples.size < 2700, `${samples.size} samples`);

  let leastMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round += 1) {
    const before = process.cpuUsage();
    metrics();
    const { user, system } = process.cpuUsage(before);
    leastMs = Math.min(leastMs, (user + system) / 1000);
  }
  t.ok(leastMs < 5, `the fullest page takes ${leastMs} ms of the processor`);
});
