import t from 'tap';
import {
  encodeError,
  exceptionDocument,
  notRegistered,
  ownExceptionModule,
  softTimeLimitExceeded,
  taskRevoked,
  timeLimitExceeded,
  workerLost,
  workerLostText,
} from '../../src/protocol/exception.ts';
import { encodeJson } from '../../src/protocol/json.ts';
import { MaxRetriesExceededError } from '../../src/task/control-flow.ts';
import { loadVectors } from './vectors.ts';

const documentOf = (exc_type: string, text: string, exc_module: string) => ({ exc_type, exc_message: [text], exc_module });

t.test('errors that Python has too', async (t) => {
  t.strictSame(exceptionDocument(new TypeError('boom')), documentOf('TypeError', 'boom', 'builtins'));
  t.strictSame(exceptionDocument(new RangeError('boom')), documentOf('ValueError', 'boom', 'builtins'));
  t.strictSame(exceptionDocument(new ReferenceError('x')), documentOf('NameError', 'x', 'builtins'));
  t.strictSame(exceptionDocument(new DOMException('late', 'TimeoutError')), documentOf('TimeoutError', 'late', 'builtins'));
  t.strictSame(
    exceptionDocument(Object.assign(new Error('gone'), { code: 'ENOENT' })),
    documentOf('FileNotFoundError', 'gone', 'builtins'),
  );
  class KeyError extends Error {}
  t.strictSame(exceptionDocument(new KeyError('k')), documentOf('KeyError', 'k', 'builtins'));
});

t.test('errors of our own keep their names', async (t) => {
  class PaymentError extends Error {}
  class Named extends Error {
    override readonly name = 'card.Declined';
  }
  t.strictSame(exceptionDocument(new Error('boom')), documentOf('Error', 'boom', ownExceptionModule));
  t.strictSame(exceptionDocument(new PaymentError('no')), documentOf('PaymentError', 'no', ownExceptionModule));
  t.strictSame(exceptionDocument(new Named('no')), documentOf('card.Declined', 'no', ownExceptionModule));
  t.strictSame(exceptionDocument(new DOMException('stop', 'AbortError')), documentOf('AbortError', 'stop', ownExceptionModule));
  t.match(ownExceptionModule, /:/, 'no Python module can have the name');
});

t.test('errors that name a Python class', async (t) => {
  const given = (more: object) => exceptionDocument(Object.assign(new TypeError('x'), more));
  t.strictSame(given({ excType: 'Declined', excModule: 'shop.errors' }), documentOf('Declined', 'x', 'shop.errors'));
  t.strictSame(given({ excType: 'Declined' }), documentOf('Declined', 'x', ownExceptionModule), 'not a built-in');
  t.strictSame(given({ excModule: 'shop' }), documentOf('TypeError', 'x', 'shop'));
  t.strictSame(given({ excType: 5, excModule: null }), documentOf('TypeError', 'x', 'builtins'));
});

t.test('thrown non-errors', async (t) => {
  t.strictSame(exceptionDocument('text'), documentOf('Error', 'text', ownExceptionModule));
  t.strictSame(exceptionDocument({ code: 5 }), documentOf('Error', "{'code': 5}", ownExceptionModule));
  t.strictSame(exceptionDocument(undefined), documentOf('Error', 'None', ownExceptionModule));
});

t.test('the fixed documents equal those of Celery', async (t) => {
  const vectors = loadVectors(t, 'results-redis.json') as { results: { name: string; json: { result: unknown } | null }[] } | null;
  if (vectors === null) return;
  const stored = (name: string) => vectors.results.find((vector) => vector.name === name)?.json?.result;
  t.strictSame(taskRevoked('revoked'), stored('revoked'));
  t.strictSame(taskRevoked('terminated'), stored('revoked-terminated'));
  t.strictSame(taskRevoked('expired'), stored('revoked-expired'));
  t.strictSame(softTimeLimitExceeded(), stored('failure-soft-time-limit'));
  t.strictSame(timeLimitExceeded(1), stored('failure-hard-time-limit'));
  t.strictSame(workerLost(workerLostText({ exitCode: 9, signal: null, job: 15 })), stored('failure-worker-lost'));
  t.strictSame(notRegistered('nope.unregistered'), stored('failure-unregistered-task'));
  t.strictSame(
    exceptionDocument(new MaxRetriesExceededError('proj.retry_max', '00000000-0000-4000-8000-000000000113', [], {})),
    stored('failure-max-retries'),
  );
});

t.test('a lost worker by signal', async (t) => {
  t.equal(workerLostText({ exitCode: null, signal: 'SIGKILL', job: 15 }), 'Worker exited prematurely: signal 9 (SIGKILL) Job: 15.');
});

t.test('a result that cannot be encoded', async (t) => {
  const encodingOf = (value: unknown) => {
    try {
      return encodeJson(value);
    } catch (error) {
      return encodeError(error);
    }
  };
  t.strictSame(
    encodingOf(new Map()),
    documentOf('EncodeError', "TypeError('Object of type Map is not JSON serializable')", 'kombu.exceptions'),
  );
  const cycle: unknown[] = [];
  cycle.push(cycle);
  t.strictSame(encodingOf(cycle), documentOf('EncodeError', "ValueError('Circular reference detected')", 'kombu.exceptions'));
  t.strictSame(encodeError(new Error("it's")).exc_message, [`Error("it's")`]);
});
