/**
 * Messages that are confirmed together: when the server is asked, and what becomes of them when the channel ends before it answers. How long messages
 * wait for a server that is away.
 */
import t from 'tap';
import type { AmqpConnection, AmqpState } from '../../src/driver/amqp.ts';
import { AmqpFailure } from '../../src/driver/amqp-failure.ts';
import { AmqpPublisher } from '../../src/driver/amqp-publisher.ts';
import type { RawPublish } from '../../src/driver/amqp-raw.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from './recording-log.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Of all channels, in order. */
let all: string[] = [];

class FakeChannel {
  readonly sent: string[] = [];
  readonly barriers: (() => void)[] = [];
  closed = false;
  #onClose: (cause: AmqpFailure) => void = () => {};

  onReturn(): void {}

  onClose(listener: (cause: AmqpFailure) => void): void {
    this.#onClose = listener;
  }

  publishUnconfirmed(_message: RawPublish, content: Buffer): void {
    this.sent.push(content.toString());
    all.push(content.toString());
  }

  /** Confirmed at once. */
  publish(_message: RawPublish, content: Buffer, done: (failure: AmqpFailure | null) => void): void {
    this.sent.push(content.toString());
    all.push(content.toString());
    done(null);
  }

  barrier(): Promise<void> {
    this.sent.push('?');
    return new Promise((resolve) => this.barriers.push(resolve));
  }

  end(): void {
    this.closed = true;
    this.#onClose(new AmqpFailure('lost', 'gone'));
  }

  /** What was sent since the last look; '?': a question. */
  take(): string {
    return this.sent.splice(0).join(' ');
  }

  async answer(): Promise<void> {
    for (const resolve of this.barriers.splice(0)) resolve();
    await turn();
  }
}

class FakeConnection {
  state: AmqpState = 'connected';
  isTrying = false;
  readonly connectTimeoutMs = 4000;
  readonly epoch = 1;
  blocked: string | null = null;
  readonly displayUrl = 'amqp://fake';
  readonly channels: FakeChannel[] = [];
  #onBlocked: (reason: string | null) => void = () => {};
  /** Whether each was opened with confirms. */
  readonly confirms: (boolean | undefined)[] = [];

  get last(): FakeChannel {
    return this.channels.at(-1) as FakeChannel;
  }

  onStateChange(): () => void {
    return () => {};
  }

  onBlocked(listener: (reason: string | null) => void): () => void {
    this.#onBlocked = listener;
    return () => {};
  }

  block(reason: string | null): void {
    this.blocked = reason;
    this.#onBlocked(reason);
  }

  abandon(): void {}

  unavailable(): AmqpFailure {
    return new AmqpFailure('lost', 'away');
  }

  async acquire(): Promise<void> {}

  async release(): Promise<void> {}

  async openChannel({ confirm }: { confirm?: boolean }): Promise<FakeChannel> {
    this.confirms.push(confirm);
    this.channels.push(new FakeChannel());
    return this.last;
  }
}

async function open(confirm = true, windowSize = 2000, patienceMs: number | null = null, state: AmqpState = 'connected') {
  const connection = new FakeConnection();
  connection.state = state;
  connection.isTrying = state === 'connecting';
  const clock = new FakeClock();
  const log = new RecordingLog();
  const place = { connection: connection as unknown as AmqpConnection, patienceMs };
  const publisher = new AmqpPublisher({ ...place, confirm, windowSize, log, clock });
  const done: string[] = [];
  const send = (text: string, soon = false): void => {
    const message = { exchange: '', routingKey: 'q', mandatory: false } as RawPublish;
    publisher.publishTogether(message, Buffer.from(text), soon, (failure) => done.push(failure === null ? text : `${text} failed`));
  };
  const impatiently = (text: string): void =>
    publisher.publish({ exchange: '', routingKey: 'q', mandatory: false } as RawPublish, Buffer.from(text), () => done.push(text), true);
  send('a');
  await turn();
  return { connection, clock, publisher, send, impatiently, done };
}

t.test('one question for all of a millisecond', async (t) => {
  const { connection, clock, send, done } = await open();
  t.strictSame(connection.confirms, [false]);
  send('b');
  t.equal(connection.last.take(), 'a b', 'they are sent at once');
  clock.advance(1);
  send('c');
  t.equal(connection.last.take(), '? c');
  t.strictSame(done, []);
  await connection.last.answer();
  t.strictSame(done, ['a', 'b'], 'c came behind the question');
  clock.advance(1);
  await connection.last.answer();
  t.strictSame(done, ['a', 'b', 'c']);
  t.equal(clock.pending, 0, 'nothing is asked without need');
});

t.test('each waits for a server that is away as long as it would', async (t) => {
  const { connection, clock, impatiently, send, done } = await open(true, 2000, 600);
  clock.advance(1);
  await connection.last.answer();
  connection.state = 'lost';
  connection.last.end();
  send('patient');
  clock.advance(100);
  impatiently('impatient');
  clock.advance(19);
  t.strictSame(done, ['a']);
  clock.advance(1);
  t.strictSame(done, ['a', 'impatient']);
  clock.advance(479);
  t.strictSame(done, ['a', 'impatient']);
  clock.advance(200);
  t.strictSame(done, ['a', 'impatient', 'patient failed']);
  t.equal(clock.pending, 0, 'nobody waits, nobody looks');
});

t.test('who is being connected with is waited for as long as that may take', async (t) => {
  const { connection, clock, impatiently, done } = await open(true, 2000, 600, 'connecting');
  impatiently('early');
  clock.advance(3999);
  t.strictSame(done, []);
  clock.advance(200);
  t.strictSame(done, ['a failed', 'early']);
  impatiently('late');
  clock.advance(20);
  t.equal(done.at(-1), 'early');
  connection.isTrying = false;
  clock.advance(20);
  t.equal(done.at(-1), 'late', 'that was in vain');
});

t.test('one that is in a hurry takes the others along', async (t) => {
  const { connection, clock, send, done } = await open();
  send('b', true);
  send('c', true);
  await turn();
  t.equal(connection.last.take(), 'a b c ?');
  await connection.last.answer();
  t.strictSame(done, ['a', 'b', 'c']);
  t.equal(clock.pending, 0);
});

t.test('what had no answer when the channel ended is sent again, once', async (t) => {
  const { connection, clock, send, done } = await open();
  clock.advance(1);
  send('b');
  const first = connection.last;
  first.end();
  t.equal(clock.pending, 0, 'there is nobody to ask');
  await turn();
  await turn();
  t.equal(connection.channels.length, 2);
  t.equal(connection.last.take(), 'a b');
  await first.answer();
  t.strictSame(done, [], 'an answer on a channel that has ended says nothing');
  clock.advance(1);
  t.equal(connection.last.take(), '?');
  await connection.last.answer();
  t.strictSame(done, ['a', 'b']);
});

t.test('the end waits for the answer', async (t) => {
  const { connection, clock, publisher, done } = await open();
  let isOver = false;
  const stopped = publisher.stop().then(() => {
    isOver = true;
  });
  await turn();
  clock.advance(1);
  await turn();
  t.notOk(isOver);
  await connection.last.answer();
  await stopped;
  t.strictSame(done, ['a']);
});

t.test('who ends waits for no timer', async (t) => {
  const { clock, publisher, done } = await open();
  t.equal(clock.pending, 1);
  publisher.abandon();
  t.equal(clock.pending, 0);
  t.strictSame(done, ['a failed']);
});

t.test('a full window is asked for, and goes on', async (t) => {
  const { connection, clock, send, done } = await open(true, 3);
  for (const text of ['b', 'c', 'd', 'e']) send(text);
  t.equal(connection.last.take(), 'a b c');
  clock.advance(1);
  t.equal(connection.last.take(), '?');
  await connection.last.answer();
  t.strictSame(done, ['a', 'b', 'c']);
  t.equal(connection.last.take(), 'd e');
  clock.advance(1);
  await connection.last.answer();
  t.strictSame(done, ['a', 'b', 'c', 'd', 'e']);
});

t.test('while the server reads nothing, what is new waits, and what was sent keeps its question', async (t) => {
  const { connection, clock, send, done } = await open();
  connection.block('memory');
  send('b');
  clock.advance(1);
  t.equal(connection.last.take(), 'a ?');
  connection.block(null);
  t.equal(connection.last.take(), 'b');
  await connection.last.answer();
  t.strictSame(done, ['a']);
  clock.advance(1);
  await connection.last.answer();
  t.strictSame(done, ['a', 'b']);
});

t.test('what is confirmed together has waited in front of the others', async (t) => {
  const { connection, publisher, send } = await open();
  const retry = { exchange: '', routingKey: 'q', mandatory: false } as RawPublish;
  publisher.publish(retry, Buffer.from('task'), () => {});
  await turn();
  connection.block('memory');
  all = [];
  send('news of a retry');
  publisher.publish(retry, Buffer.from('retry'), () => {});
  t.strictSame(all, []);
  connection.block(null);
  t.strictSame(all, ['news of a retry', 'retry']);
});

t.test('without confirms nothing is asked', async (t) => {
  const { connection, clock, done } = await open(false);
  clock.advance(1);
  t.equal(connection.last.take(), 'a');
  t.strictSame(done, ['a']);
});
