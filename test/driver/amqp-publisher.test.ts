/**
 * Messages that are confirmed together: when the server is asked, and what becomes of them when the channel ends before it answers. How long messages
 * wait for a server that is away. How a connection is found out that is dead and does not say so.
 */
import t from 'tap';
import type { AmqpConnection, AmqpState } from '../../src/driver/amqp.ts';
import { AmqpFailure } from '../../src/driver/amqp-failure.ts';
import { AmqpPublisher } from '../../src/driver/amqp-publisher.ts';
import type { RawPublish } from '../../src/driver/amqp-raw.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { RecordingLog } from './recording-log.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One timer, from the first message on, for as long as the server owes an answer: publishing-watch.ts. */
const watching = 1;

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

  /** Confirmed at once, unless it is slow. */
  publish(_message: RawPublish, content: Buffer, done: (failure: AmqpFailure | null) => void): void {
    this.sent.push(content.toString());
    all.push(content.toString());
    if (content.toString() !== 'slow') done(null);
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
  heartbeatSeconds = 0;
  readonly traffic = { bytesRead: 0, bytesSent: 0, bytesUnsent: 0 };
  readonly givenUp: string[] = [];
  /** A channel that is opened never is. */
  opensNone = false;
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

  reconnect(reason: string): void {
    this.givenUp.push(reason);
  }

  abandon(): void {}

  unavailable(): AmqpFailure {
    return new AmqpFailure('lost', 'away');
  }

  async acquire(): Promise<void> {}

  async release(): Promise<void> {}

  async openChannel({ confirm }: { confirm?: boolean }): Promise<FakeChannel> {
    this.confirms.push(confirm);
    if (this.opensNone) return new Promise(() => {});
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
  return { connection, clock, publisher, send, impatiently, done, log };
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
  connection.last.take();
  await clock.advanceAsync(5000);
  t.equal(clock.pending, 0);
  t.equal(connection.last.take(), '', 'nothing is asked without need');
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
  t.equal(clock.pending, watching, 'nobody waits, nobody looks');
  await clock.advanceAsync(5000);
  t.equal(clock.pending, 0);
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
  await clock.advanceAsync(5000);
  t.equal(clock.pending, 0);
});

t.test('what had no answer when the channel ended is sent again, once', async (t) => {
  const { connection, clock, send, done } = await open();
  clock.advance(1);
  send('b');
  const first = connection.last;
  first.end();
  t.equal(clock.pending, watching, 'there is nobody to ask');
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
  t.equal(clock.pending, watching + 1);
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

t.test('a connection that is dead and does not say so', async (t) => {
  const toQueue = { exchange: '', routingKey: 'q', mandatory: false } as RawPublish;
  /** One message is with the server, which does not confirm it. */
  const sent = async (confirm = true) => {
    const bench = await open(confirm);
    const { connection, clock, publisher } = bench;
    clock.advance(1);
    await connection.last.answer();
    publisher.publish(toQueue, Buffer.from('slow'), () => {});
    await turn();
    connection.last.take();
    // Whatever begins with the first message is over.
    connection.traffic.bytesRead += 1;
    await clock.advanceAsync(5000);
    t.equal(connection.last.take(), '');
    return bench;
  };

  t.test('it is asked, and given up when it does not answer that either', async (t) => {
    const { connection, clock, log } = await sent();
    await clock.advanceAsync(14_000);
    t.equal(connection.last.take(), '');
    await clock.advanceAsync(1000);
    t.equal(connection.last.take(), '?');
    await clock.advanceAsync(14_000);
    t.strictSame(connection.givenUp, []);
    await clock.advanceAsync(1000);
    t.strictSame(connection.givenUp, ['the server has not answered for 30 s what it was sent']);
    t.match(log.lines, [
      { level: 'error', event: 'amqp.publisher-silent', message: /has not answered for 30 s.*Connecting anew to publish/ },
    ]);
    t.equal(connection.last.take(), '', 'one question');
  });

  t.test('one that answers and confirms nothing is slow: it is asked again and again', async (t) => {
    const { connection, clock } = await sent();
    for (let minute = 0; minute < 3; minute += 1) {
      await clock.advanceAsync(15_000);
      t.equal(connection.last.take(), '?');
      connection.traffic.bytesRead += 12;
      await connection.last.answer();
      await clock.advanceAsync(5000);
    }
    t.strictSame(connection.givenUp, []);
  });

  t.test('a large message that is on its way is a sign of life', async (t) => {
    const { connection, clock } = await sent();
    connection.traffic.bytesUnsent = 100_000_000;
    for (let look = 0; look < 20; look += 1) {
      await clock.advanceAsync(5000);
      connection.traffic.bytesUnsent -= 1_000_000;
      connection.traffic.bytesSent += 1_000_000;
    }
    t.equal(connection.last.take(), '');
    t.strictSame(connection.givenUp, []);
    await clock.advanceAsync(40_000);
    t.equal(connection.givenUp.length, 1, 'and one that goes no further is not');
  });

  t.test('so is what goes out of more and more that waits, and not what the system takes at once', async (t) => {
    const { connection, clock } = await sent();
    const { traffic } = connection;
    const publish = async (waits: number, goes: number): Promise<void> => {
      for (let look = 0; look < 20; look += 1) {
        traffic.bytesUnsent += waits;
        traffic.bytesSent += goes;
        await clock.advanceAsync(5000);
      }
    };
    await publish(3_000_000, 1_000_000);
    t.strictSame(connection.givenUp, [], 'faster than the line');
    traffic.bytesUnsent = 0;
    await publish(0, 100);
    t.ok(connection.givenUp.length > 0, 'nobody reads it');
  });

  t.test('one that has said that it reads nothing can be asked nothing', async (t) => {
    const { connection, clock } = await sent();
    await clock.advanceAsync(15_000);
    t.equal(connection.last.take(), '?');
    connection.block('memory');
    await clock.advanceAsync(600_000);
    t.equal(connection.last.take(), '');
    t.strictSame(connection.givenUp, []);
    connection.block(null);
    await clock.advanceAsync(30_000);
    t.equal(connection.givenUp.length, 1, 'it is looked at again when it reads');
  });

  t.test('one that gives signs of life by itself is waited for until one is due', async (t) => {
    const { connection, clock } = await sent();
    connection.heartbeatSeconds = 60;
    await clock.advanceAsync(64_000);
    t.strictSame(connection.givenUp, []);
    await clock.advanceAsync(1000);
    t.equal(connection.givenUp.length, 1);
  });

  t.test('a channel that is being opened is a question', async (t) => {
    const { connection, clock, publisher } = await open();
    clock.advance(1);
    await connection.last.answer();
    connection.opensNone = true;
    publisher.publish(toQueue, Buffer.from('b'), () => {});
    await clock.advanceAsync(30_000);
    t.equal(connection.givenUp.length, 1);
  });

  t.test('what is not confirmed is asked about, and forgotten with the answer', async (t) => {
    const { connection, clock } = await sent(false);
    await clock.advanceAsync(15_000);
    t.equal(connection.last.take(), '?');
    connection.traffic.bytesRead += 12;
    await connection.last.answer();
    await clock.advanceAsync(5000);
    t.equal(clock.pending, 0);
  });
});
