/** How long a server may take before its connection is given up, and what one attempt leaves to the next. */
import t from 'tap';
import { type Attempt, ChannelOpening } from '../../../src/broker/amqp/channel-opening.ts';
import { type Clock, FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The test says what each attempt comes to. */
function bench<C extends Clock = FakeClock>(clock: C = new FakeClock() as unknown as C) {
  const log = new RecordingLog();
  const attempts: (Attempt & { end(): void; fail(error: Error): void })[] = [];
  const givenUp: string[] = [];
  const told: string[] = [];
  const state = { answers: 0, isWanted: true, hasChannel: false };
  const connection = {
    state: 'connected' as 'connected' | 'lost',
    connectTimeoutMs: 4000,
    reconnect: (reason: string) => void givenUp.push(reason),
  };
  const opening = new ChannelOpening({
    connection,
    isWanted: () => state.isWanted,
    hasChannel: () => state.hasChannel,
    open: (attempt) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const end = (): void => {
        state.hasChannel = true;
        resolve();
      };
      attempts.push(Object.assign(attempt, { end, fail: reject }));
      return promise;
    },
    answers: () => state.answers,
    opened: (isFirst) => void told.push(isFirst ? 'first' : 'again'),
    failed: (error) => void told.push(String(error)),
    what: () => 'consuming from mail',
    log,
    clock,
  });
  return { clock, log, attempts, givenUp, told, state, connection, opening };
}

t.test(
  'a server that answers nothing: given up after the timeout of the connection, and then after twice the time, up to a minute',
  async (t) => {
    const { clock, log, attempts, givenUp, told, state, opening } = bench();
    opening.now();
    await clock.advanceAsync(3999);
    t.strictSame(givenUp, []);
    await clock.advanceAsync(1);
    t.strictSame(givenUp, ['no answer within 4 s while consuming from mail was begun']);
    t.match(log.lines, [{ level: 'error', event: 'broker.unanswered', message: /over a connection that looks well\. Connecting anew$/ }]);
    for (const seconds of [8, 16, 32, 60, 60]) {
      opening.anew();
      await clock.advanceAsync(seconds * 1000 - 1);
      const before = givenUp.length;
      await clock.advanceAsync(1);
      t.strictSame(givenUp.slice(before), [`no answer within ${seconds} s while consuming from mail was begun`]);
    }
    opening.anew();
    t.strictSame(
      attempts.map(({ isOver }) => isOver),
      [true, true, true, true, true, true, false],
    );
    attempts.at(-1)?.end();
    await clock.advanceAsync(0);
    t.strictSame(told, ['again'], 'those that were given up say nothing');
    t.notOk(opening.isUnderWay);
    state.hasChannel = false;
    opening.now();
    const before = givenUp.length;
    await clock.advanceAsync(4000);
    t.equal(givenUp.length, before + 1, 'after a channel the patience is what it was');
  },
);

t.test('as long as it answers something, and as long as there is no connection, it may take any time', async (t) => {
  const { clock, givenUp, state, connection, opening } = bench();
  opening.now();
  for (let answers = 0; answers < 10; answers++) {
    state.answers = answers;
    await clock.advanceAsync(3000);
  }
  connection.state = 'lost';
  await clock.advanceAsync(60_000);
  t.strictSame(givenUp, []);
  connection.state = 'connected';
  await clock.advanceAsync(4000);
  t.equal(givenUp.length, 1);
});

t.test('a process that stood still reads what has come meanwhile before it judges', async (t) => {
  const due: (() => void)[] = [];
  const overdue: Clock = Object.assign(new FakeClock(), { setTimer: (fire: () => void) => ({ delayMs: due.push(fire) }) });
  const { givenUp, attempts, told, opening } = bench(overdue);
  opening.now();
  // However late it is, one timer fires before anything is read.
  due.shift()?.();
  t.strictSame(givenUp, []);
  attempts[0]?.end();
  await turn();
  t.strictSame(told, ['again']);
});

t.test('what is not wanted any more gives no connection up', async (t) => {
  const { clock, givenUp, state, opening } = bench();
  opening.now();
  state.isWanted = false;
  await clock.advanceAsync(60_000);
  t.strictSame(givenUp, []);
});

t.test('the first attempt is its caller’s: it rejects, also when there is another connection meanwhile', async (t) => {
  const { clock, attempts, told, opening } = bench();
  const refused = opening.first();
  attempts[0]?.fail(new Error('refused'));
  await t.rejects(refused, { message: 'refused' });
  const overtaken = opening.first();
  opening.anew();
  await t.rejects(overtaken, { kind: 'lost', message: /consuming from mail was not begun: the connection it had begun on is no more/ });
  await clock.advanceAsync(60_000);
  t.equal(attempts.length, 2);
  t.strictSame(told, []);
  const opened = opening.first();
  attempts[2]?.end();
  await opened;
  t.strictSame(told, ['first']);
});

t.test('a failure is said, and tried again: at once, then with longer and longer pauses', async (t) => {
  const { clock, attempts, told, opening } = bench();
  opening.now();
  attempts[0]?.fail(new Error('one'));
  await clock.advanceAsync(1);
  t.equal(attempts.length, 2);
  attempts[1]?.fail(new Error('two'));
  await clock.advanceAsync(5000);
  t.equal(attempts.length, 3);
  t.strictSame(told, ['Error: one', 'Error: two']);
  opening.stop();
});

t.test('a channel that has ended by the time it is there: another attempt', async (t) => {
  const { clock, attempts, told, state, opening } = bench();
  opening.now();
  attempts[0]?.end();
  state.hasChannel = false;
  await clock.advanceAsync(1);
  t.match(told, [/the channel for consuming from mail ended as it was opened/]);
  t.equal(attempts.length, 2);
  attempts[1]?.end();
  await clock.advanceAsync(1);
  t.equal(told.at(-1), 'again');
});
