/** From the words of the configuration to those of the children; and what fits nothing is said. */
import t from 'tap';
import { annotationFields } from '../../src/config/annotation-kind.ts';
import { sayUnused, taskAnnotations } from '../../src/node/task-annotations.ts';
import { resolveTaskOptions } from '../../src/task/task-options.ts';
import { RecordingLog } from '../driver/recording-log.ts';

t.test("every key is an option of tasks, in the children's words", async (t) => {
  const options = resolveTaskOptions({}, 'x');
  for (const key of Object.keys(annotationFields)) {
    const [[, annotation] = []] = taskAnnotations({ x: { [key]: 1 } });
    const [option] = Object.keys(annotation ?? {});
    t.ok(option !== undefined && Object.hasOwn(options, option), `${key} is ${option}`);
  }
});

t.test('what TOML says in its own way', async (t) => {
  t.strictSame(
    taskAnnotations({ 'a.*': { max_retries: false, retry_backoff: true, rate_limit: '10/m' }, b: { retry_backoff: 5, max_retries: 2 } }),
    [
      ['a.*', { maxRetries: null, retryBackoff: 1, rateLimit: '10/m' }],
      ['b', { retryBackoff: 5, maxRetries: 2 }],
    ],
  );
  t.match(taskAnnotations({ b: { retry_backoff: false } }), [['b', { retryBackoff: 0 }]]);
});

t.test('names and patterns that fit no task', async (t) => {
  const log = new RecordingLog();
  const tasks = new Map([['mail.send', {}]]);
  sayUnused({ 'mail.*': {}, 'mail.send': {}, '/m/': {} }, tasks, log);
  t.strictSame(log.lines, []);
  sayUnused({ 'mail.*': {}, 'mail.sent': {}, 'old.*': {} }, tasks, log);
  t.match(log.lines, [
    {
      event: 'worker.annotations-unused',
      message: 'no task of this worker fits [tasks."mail.sent"], [tasks."old.*"] of the configuration',
    },
  ]);
});
