/** `umbel amqp` on the embedded broker: one operation at a time, and a shell. test/live/broker-tools.test.ts has the other brokers. */
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Ran, runInMemory } from './run-in-memory.ts';

type Amqp = (args: readonly string[], input?: string) => Promise<Ran>;

function scene(t: Test): Amqp {
  const cwd = t.testdir();
  const url = `sqlite:///${join(cwd, 'broker.db')}`;
  return async (args, input = '') => {
    const ran = await runInMemory(['-b', url, 'amqp', ...args], { cwd, input });
    return { ...ran, stderr: ran.stderr.replace(`-> connecting to ${url}.\n-> connected.\n`, '') };
  };
}

t.test('one operation at a time', async (t) => {
  const amqp = scene(t);
  t.same(await amqp(['queue.declare', 'mail']), { status: 0, stdout: 'queue:mail messages:0 consumers:?\nOK\n', stderr: '' });
  t.same(await amqp(['basic.publish', 'hello there', '', 'mail']), { status: 0, stdout: 'OK\n', stderr: '' });
  t.same(await amqp(['queue.declare', 'mail', 'yes']), { status: 0, stdout: 'queue:mail messages:1 consumers:?\nOK\n', stderr: '' });
  const shown = [
    "{'body': 'hello there',",
    " 'delivery_info': {'delivery_tag': 1,",
    "                   'exchange': '',",
    "                   'message_count': 0,",
    "                   'redelivered': False,",
    "                   'routing_key': 'mail'},",
    " 'properties': {'content_encoding': 'utf-8',",
    "                'content_type': 'text/plain',",
    "                'priority': 0}}",
    'OK',
    '',
  ];
  t.same(await amqp(['basic.get', 'mail']), { status: 0, stdout: shown.join('\n'), stderr: '' });
  t.match(await amqp(['basic.get', 'mail', 'yes']), { status: 0, stdout: /'redelivered': True/ }, 'it was back, and is gone now');
  t.same(await amqp(['basic.get', 'mail']), { status: 69, stdout: '', stderr: "umbel: there is no queue 'mail' [BROKER_REFUSED]\n" });
});

t.test('what is wrong is said, with a status', async (t) => {
  const amqp = scene(t);
  const cases: readonly (readonly [string[], number, RegExp])[] = [
    [['queue.declar', 'x'], 64, /got "queue\.declar"; did you mean queue\.declare\? \[USAGE\]/],
    [['queue.bind', 'x'], 64, /usage: queue\.bind QUEUE EXCHANGE ROUTING_KEY: got 1 argument \[USAGE\]/],
    [['queue.purge', 'x', 'y'], 64, /usage: queue\.purge QUEUE: got 2 arguments/],
    [['queue.declare', 'x', 'perhaps'], 64, /PASSIVE must be yes or no, got "perhaps"/],
    [
      ['queue.declare', 'x', 'no', 'yes', 'yes'],
      64,
      /does not have queues that delete themselves without a worker \(queue x\) \[NOT_SUPPORTED\]/,
    ],
    [['queue.delete', 'x', 'yes'], 64, /does not have a way to tell whether somebody consumes/],
    [['queue.delete', 'x'], 69, /there is no queue 'x' \[BROKER_REFUSED\]/],
    [['exchange.declare', 'x', 'round'], 64, /TYPE must be direct, topic, fanout or headers, got "round"/],
    [['exchange.declare', 'x', 'headers'], 64, /does not have headers exchanges/],
    [['exchange.delete', 'x'], 69, /there is no exchange 'x'/],
    [['basic.publish', 'm', 'x', 'k'], 69, /there is no exchange 'x'/],
    [['basic.publish', 'm', '', 'k', 'no', 'yes'], 64, /IMMEDIATE must be no/],
    [['basic.ack', 'one'], 64, /DELIVERY_TAG must be a whole number, got "one"/],
    [['basic.ack', '1'], 69, /the delivery tag must be one of a message got and not acknowledged on this connection, got 1/],
    [['repl', 'x'], 64, /repl takes no arguments, got x/],
  ];
  for (const [args, status, message] of cases) t.match(await amqp(args), { status, stdout: '', stderr: message }, args.join(' '));
});

t.test('a shell reads what is piped in, and goes on after an error', async (t) => {
  const amqp = scene(t);
  const session = [
    'exchange.declare news topic',
    'queue.declare feeds',
    'queue.bind feeds news sport.#',
    '',
    "basic.publish 'one two' news sport.golf",
    'basic.publish "" news weather',
    'nonsense',
    'basic.get feeds',
    'basic.ack 1',
    'basic.ack 1',
    "basic.publish 'open",
    'basic.get feeds',
    'queue.delete feeds',
    'exit',
    'queue.declare never',
  ];
  const { status, stdout, stderr } = await amqp([], `${session.join('\n')}\n`);
  t.equal(status, 1, 'something failed');
  t.match(
    stdout,
    /^OK\nqueue:feeds messages:0 consumers:\?\nOK\nOK\nOK\nOK\n\{'body': 'one two',\n[\s\S]*'routing_key': 'sport\.golf'\},\n[\s\S]*\}\}\nOK\nOK\nNo messages in queue\. basic\.publish something\.\nOK\n0 messages deleted\.\nOK\n$/,
  );
  t.same(
    stderr.split('\n').map((line) => line.replace(/, got .*(?= \[)/, '')),
    [
      'ERROR: a command must be one of exchange.declare, exchange.delete, queue.bind, queue.declare, queue.delete, queue.purge, basic.publish, basic.get, basic.ack, connect, reconnect, help, exit, quit [USAGE]',
      'ERROR: the delivery tag must be one of a message got and not acknowledged on this connection [BROKER_REFUSED]',
      'ERROR: every quote must be closed [USAGE]',
      '',
    ],
  );
});

t.test('reconnect gives back what was got; help names what there is; the end of the input ends it', async (t) => {
  const amqp = scene(t);
  const { status, stdout, stderr } = await amqp(
    ['repl'],
    'queue.declare q\nbasic.publish m "" q\nbasic.get q\nreconnect\nbasic.ack 1\nqueue.declare q yes\nhelp',
  );
  t.equal(status, 1);
  t.match(
    stdout,
    /'body': 'm'[\s\S]*OK\nqueue:q messages:1 consumers:\?\nOK\nexchange\.declare EXCHANGE TYPE \[PASSIVE\] \[DURABLE\] \[AUTO_DELETE\]\n[\s\S]*\nexit\n$/,
  );
  t.match(stderr, /^-> connecting to sqlite:.*\n-> connected\.\nERROR: the delivery tag must be/);
});

t.test('a broker that is away can be connected to later', async (t) => {
  const cwd = t.testdir();
  const { status, stderr } = await runInMemory(['-b', 'redis://127.0.0.1:1/0', 'amqp'], { cwd, input: 'queue.declare q\nconnect\n' });
  t.equal(status, 1);
  t.match(
    stderr,
    /^-> connecting to redis.*\nERROR: .*\[BROKER_UNAVAILABLE\]\nERROR: Not connected to broker\. Please retry with connect \[BROKER_UNAVAILABLE\]\n-> connecting to redis.*\nERROR: .*\[BROKER_UNAVAILABLE\]\n$/,
  );
});
