import t from 'tap';
import { type BannerParams, banner } from '../../src/node/banner.ts';
import { version } from '../../src/std/version.ts';

const params: BannerParams = {
  nodeName: 'w1@host',
  brokerUrl: 'sqlite:////tmp/a.db',
  backendUrl: null,
  concurrency: 3,
  poolName: 'prefork',
  queues: [{ name: 'celery' }, { name: 'mail', exchange: 'news', exchangeType: 'topic', routingKey: 'mail.#' }],
  taskPaths: ['tasks.ts', 'jobs'],
  tasks: null,
  now: Date.parse('2026-11-20T08:31:58.123Z'),
};

t.test('shows what the worker is and does', (t) => {
  const text = banner(params);
  for (const part of [
    `w1@host umbel v${version()}`,
    '2026-11-20 08:31:58 UTC',
    '.> app:         tasks.ts, jobs',
    '.> transport:   sqlite:////tmp/a.db',
    '.> results:     disabled',
    '.> concurrency: 3 (prefork)',
    '.> celery           exchange=celery(direct) key=celery',
    '.> mail             exchange=news(topic) key=mail.#',
  ])
    t.ok(text.includes(part), part);
  t.notMatch(text, /\[tasks\]/);
  t.ok(text.endsWith('\n'));
  t.end();
});

t.test('with tasks and results', (t) => {
  const text = banner({ ...params, tasks: ['tasks.add', 'tasks.sub'], backendUrl: 'memory://' });
  t.match(text, / \[tasks\]\n {2}\. tasks\.add\n {2}\. tasks\.sub\n/);
  t.match(text, /results: {5}memory:/);
  t.end();
});
