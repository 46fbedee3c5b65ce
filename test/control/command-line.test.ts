/** Words of a command line become what Celery's own command line sends. */
import t from 'tap';
import { argumentsFrom } from '../../src/control/command-line.ts';
import { controlCommands } from '../../src/control/control-commands.ts';
import { inspectCommands } from '../../src/control/inspect-commands.ts';

const from = (name: string, ...words: string[]) =>
  argumentsFrom([...inspectCommands, ...controlCommands].find((command) => command.name === name)!, words);

t.test('in the order of the command line', async (t) => {
  t.strictSame(from('time_limit', 'tasks.add', '10', '20'), { task_name: 'tasks.add', soft: 10, hard: 20 });
  t.strictSame(from('time_limit', 'tasks.add'), { task_name: 'tasks.add' });
  t.strictSame(from('terminate', 'SIGKILL', 'a', 'b'), { signal: 'SIGKILL', task_id: ['a', 'b'] });
  t.strictSame(from('rate_limit', 'tasks.add', '10/m'), { task_name: 'tasks.add', rate_limit: '10/m' });
  t.strictSame(from('add_consumer', 'q', 'ex', 'topic', 'a.#'), { queue: 'q', exchange: 'ex', exchange_type: 'topic', routing_key: 'a.#' });
  t.strictSame(from('conf', 'true'), { with_defaults: true });
  t.strictSame(from('registered'), {});
  t.strictSame(from('registered', 'rate_limit', 'acks_late'), { taskinfoitems: ['rate_limit', 'acks_late'] });
  t.strictSame(from('objgraph', 'Request', '100', '5'), { type: 'Request', num: 100, max_depth: 5 });
  t.strictSame(from('autoscale', '10', '3'), { max: 10, min: 3 });
});

t.test('what does not fit is an error that shows how it would', async (t) => {
  const usage = (message: RegExp) => ({ code: 'USAGE', message });
  t.throws(() => from('ping', 'x'), usage(/^usage: umbel inspect ping: got "x" too much$/));
  t.throws(() => from('revoke'), usage(/^usage: umbel control revoke <id> …: task_id is missing$/));
  t.throws(() => from('rate_limit', 'tasks.add'), usage(/rate_limit is missing/));
  t.throws(() => from('pool_grow', '1.5'), usage(/n must be a whole number, got "1.5"/));
  t.throws(() => from('time_limit', 'a', 'soon'), usage(/soft must be a number, got "soon"/));
  t.throws(() => from('conf', 'maybe'), usage(/with_defaults must be true or false, got "maybe"/));
});
