/** The way to a server without any: what is tried, how often, when it gives up, and who hears of it. */
import t, { type Test } from 'tap';
import { type LinkOptions, type LinkState, ServerLink } from '../../src/driver/server-link.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { settled } from '../consumer/doubles.ts';
import { RecordingLog } from './recording-log.ts';

class Failure extends Error {
  readonly kind: string;

  constructor(kind: string, message: string = kind, cause?: Error) {
    super(message, { cause });
    this.kind = kind;
  }
}

class Session {
  readonly where: string;
  dropped = false;
  bidFarewell = false;
  #ended: Failure | null = null;
  #onClose: ((cause: Failure) => void) | null = null;

  constructor(where: string) {
    this.where = where;
  }

  onClose(listener: (cause: Failure) => void): void {
    this.#onClose = listener;
    if (this.#ended !== null) listener(this.#ended);
  }

  end(kind = 'lost'): void {
    this.#ended = new Failure(kind, `${this.where} ${kind}`);
    this.#onClose?.(this.#ended);
  }

  drop(): void {
    this.dropped = true;
  }
}

interface Attempt {
  readonly endpoint: string;
  readonly succeed: (session?: Session) => Session;
  readonly fail: (kind: string) => void;
}

class Bench {
  readonly clock = new FakeClock();
  readonly log = new RecordingLog();
  readonly calls: string[] = [];
  readonly states: string[] = [];
  readonly attempts: Attempt[] = [];
  readonly link: ServerLink<string, Session, Failure>;
  /** What a user that goes waits for. */
  drained: Promise<void> = Promise.resolve();

  constructor(endpoints: readonly string[] = ['a'], options: Partial<LinkOptions> = {}, quiet = false) {
    this.link = new ServerLink<string, Session, Failure>({
      service: 'Nothing',
      endpoints,
      displayUrl: endpoints.join(';'),
      options: { startRetries: 0, reconnectRetries: null, failover: 'round-robin', ...options },
      events: { unreachable: 'unreachable', skipped: 'skipped', lost: 'lost', connected: 'connected' },
      open: (endpoint) => {
        const { promise, resolve, reject } = Promise.withResolvers<Session>();
        const succeed = (session = new Session(endpoint)): Session => {
          resolve(session);
          return session;
        };
        this.attempts.push({ endpoint, succeed, fail: (kind) => reject(new Failure(kind, `${endpoint} ${kind}`)) });
        return promise;
      },
      describe: (endpoint) => endpoint,
      failureOf: (thrown) => thrown as Failure,
      newFailure: (kind, message, cause) => new Failure(kind, message, cause),
      isFinal: ({ kind }, atStart) => kind === 'never' || (atStart && kind === 'config'),
      onUp: (session) => this.calls.push(`up ${session.where} ${this.link.state}`),
      onDown: (cause) => this.calls.push(`down ${cause.kind} ${this.link.state}`),
      onStopped: (why) => this.calls.push(`stopped ${why.message} ${this.link.state}`),
      drained: () => this.drained,
      farewell: async (session) => {
        session.bidFarewell = true;
      },
      quiet,
      log: this.log,
      clock: this.clock,
    });
    this.link.onStateChange((state: LinkState, cause) => this.states.push(cause === null ? state : `${state}: ${cause.message}`));
  }

  /** The attempt now under way. */
  async next(): Promise<Attempt> {
    await settled();
    const attempt = this.attempts.shift();
    if (attempt === undefined) throw new Error('nothing is tried');
    return attempt;
  }

  async connected(): Promise<Session> {
    const acquired = this.link.acquire();
    const session = (await this.next()).succeed();
    await acquired;
    return session;
  }

  /** Let so much time pass; is anything tried then? */
  async triesAfter(ms: number): Promise<boolean> {
    await settled();
    this.clock.advance(ms);
    await settled();
    return this.attempts.length > 0;
  }
}

t.test('users share one session; the last one to go ends it, when everything has been sent', async (t) => {
  const bench = new Bench();
  const session = await bench.connected();
  await bench.link.acquire();
  t.equal(bench.link.session, session);
  t.equal(bench.link.epoch, 1);
  await bench.link.release();
  t.equal(bench.link.state, 'connected');
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.drained = promise;
  const released = bench.link.release();
  await settled();
  t.equal(bench.link.state, 'connected', 'something is still on its way');
  resolve();
  await released;
  t.equal(bench.link.session, null);
  t.strictSame([session.bidFarewell, session.dropped], [true, false]);
  await bench.link.release();
  t.strictSame(bench.states, ['connecting', 'connected', 'stopped']);
  t.strictSame(bench.calls, ['up a connecting', 'stopped the connection to Nothing was stopped (a) stopped']);
  t.equal((await bench.connected()).where, 'a', 'and again');
  t.equal(bench.link.epoch, 2);
});

t.test('the server is known to be back: the next attempt does not wait', async (t) => {
  const bench = new Bench();
  bench.link.hurry();
  const session = await bench.connected();
  session.end();
  for (let round = 0; round < 8; round++) {
    (await bench.next()).fail('lost');
    await settled();
    t.equal(bench.attempts.length, 0, 'it waits');
    bench.link.hurry();
  }
  (await bench.next()).succeed();
  await settled();
  t.equal(bench.link.state, 'connected');
  bench.link.abandon();
});

t.test('one endpoint that does not answer keeps nobody from the other for longer than that', async (t) => {
  const bench = new Bench(['a', 'b']);
  const session = await bench.connected();
  session.end();
  for (let round = 0; round < 8; round++) {
    const refused = await bench.next();
    t.equal(refused.endpoint, 'a');
    refused.fail('lost');
    const silent = await bench.next();
    bench.clock.advance(4000);
    silent.fail('lost');
    t.equal(await bench.triesAfter(25), true, `after round ${round}`);
  }
  bench.link.abandon();
});

t.test('several endpoints in turn, from the one that served last', async (t) => {
  const bench = new Bench(['a', 'b', 'c']);
  const acquired = bench.link.acquire();
  (await bench.next()).fail('lost');
  const second = await bench.next();
  t.equal(second.endpoint, 'b');
  const session = second.succeed();
  await acquired;
  t.equal(bench.link.endpoint, 'b');
  session.end();
  for (const endpoint of ['b', 'c', 'a']) {
    const attempt = await bench.next();
    t.equal(attempt.endpoint, endpoint);
    attempt.fail('lost');
  }
  t.equal(await bench.triesAfter(60), true);
  t.equal((await bench.next()).endpoint, 'b');
});

t.test('who was passed over, and why, is said with the server that was taken instead, and only when that is so', async (t) => {
  for (const [quiet, level] of [
    [false, 'warning'],
    [true, 'debug'],
  ] as const) {
    const bench = new Bench(['a', 'b', 'c'], {}, quiet);
    const said = (): string[] => bench.log.lines.splice(0).map(({ level, event, message }) => `${level} ${event} ${message}`);
    t.equal(bench.link.where, 'a;b;c');
    const acquired = bench.link.acquire();
    (await bench.next()).fail('lost');
    (await bench.next()).fail('config');
    const third = (await bench.next()).succeed();
    await acquired;
    t.equal(bench.link.where, 'c');
    t.strictSame(said(), [`${level} skipped Cannot connect to a;b: a lost; b config. Taking c instead`]);
    third.end();
    t.equal(bench.link.where, 'a;b;c');
    (await bench.next()).succeed();
    await settled();
    t.notMatch(said().join(), /skipped/, 'asked first, the one that served last has kept nobody waiting');
    bench.link.session?.end();
    (await bench.next()).fail('lost');
    (await bench.next()).succeed();
    await settled();
    t.equal(said().filter((line) => line === `${level} skipped Cannot connect to c: c lost. Taking a instead`).length, 1, 'after a loss');
    bench.link.abandon();
  }
});

t.test('shuffled: every endpoint is tried, in an order of its own', async (t) => {
  // So many that no draw will ever come out as they stand.
  const endpoints = [...'abcdefghijklmnopqrstuvwxyz'];
  const bench = new Bench(endpoints, { failover: 'shuffle' });
  const refused = t.rejects(bench.link.acquire(), { message: /lost; . lost; . lost/ });
  const tried: string[] = [];
  for (let count = 0; count < endpoints.length; count++) {
    const attempt = await bench.next();
    tried.push(attempt.endpoint);
    attempt.fail('lost');
  }
  await refused;
  t.not(tried.join(''), endpoints.join(''));
  t.strictSame(tried.sort(), endpoints);
});

t.test('the start: so many rounds more, the same cause said once, another one again', async (t) => {
  const bench = new Bench(['a', 'b'], { startRetries: 3 });
  const refused = t.rejects(bench.link.acquire(), { message: 'a lost; b busy' });
  for (let round = 0; round < 4; round++) {
    if (round > 0) t.equal(await bench.triesAfter(2000), true, `round ${round}`);
    (await bench.next()).fail('lost');
    (await bench.next()).fail(round === 1 ? 'other' : 'busy');
  }
  await refused;
  t.equal(await bench.triesAfter(60_000), false);
  t.strictSame(
    bench.log.lines.map(({ event, message }) => `${event} ${message}`),
    ['busy', 'other', 'busy'].map((kind, round) => `unreachable Cannot connect to a;b: a lost; b ${kind}. Trying again (${round + 1}/3)`),
  );
  t.strictSame(bench.states, ['connecting', 'stopped: a lost; b busy']);
});

t.test('the same cause is said again after half a minute', async (t) => {
  const bench = new Bench(['a'], { startRetries: null });
  void bench.link.acquire();
  for (let round = 0; round < 20; round++) {
    (await bench.next()).fail('lost');
    t.equal(await bench.triesAfter(2000), true);
  }
  t.equal(bench.log.lines.length, 2);
  t.match(bench.log.lines[0]?.message, /Trying again$/, 'for ever');
});

t.test('what no attempt will mend ends the search, whatever the patience', async (t) => {
  for (const kind of ['never', 'config']) {
    const bench = new Bench(['a'], { startRetries: null });
    const refused = t.rejects(bench.link.acquire(), { message: `a ${kind}` });
    (await bench.next()).fail(kind);
    await refused;
    t.equal(bench.link.state, 'stopped');
    t.strictSame(bench.log.lines, []);
  }
});

t.test('another endpoint may still do', async (t) => {
  const bench = new Bench(['a', 'b'], { startRetries: null });
  const acquired = bench.link.acquire();
  (await bench.next()).fail('config');
  (await bench.next()).fail('lost');
  t.equal(await bench.triesAfter(60), true);
  (await bench.next()).fail('config');
  (await bench.next()).succeed();
  await acquired;
});

t.test('a loss: it is told before anything is tried, and the next session has another epoch', async (t) => {
  const bench = new Bench();
  (await bench.connected()).end();
  t.strictSame(bench.states.splice(0), ['connecting', 'connected', 'lost: a lost']);
  t.strictSame(bench.calls.splice(0), ['up a connecting', 'down lost connected']);
  t.match(bench.link.unavailable(), { kind: 'lost', message: 'there is no connection to Nothing at present (a)' });
  const attempt = await bench.next();
  await bench.link.acquire();
  attempt.succeed();
  await settled();
  t.equal(bench.link.epoch, 2);
  t.strictSame(bench.states, ['connected']);
  t.strictSame(
    bench.log.lines.map(({ message }) => message),
    ['a lost. Reconnecting', 'Connected again to a'],
  );
});

t.test('after a loss a wrong configuration is waited for, and what can never be ends it', async (t) => {
  const bench = new Bench();
  (await bench.connected()).end();
  (await bench.next()).fail('config');
  t.equal(await bench.triesAfter(60), true);
  (await bench.next()).fail('never');
  await settled();
  t.equal(bench.link.state, 'stopped');
  t.equal(bench.calls.at(-1), 'stopped a never stopped');
  t.equal(bench.states.at(-1), 'stopped: a never');
  t.match(bench.link.unavailable(), { kind: 'stopped', message: /any more/ });
});

t.test('so many rounds after a loss, or none', async (t) => {
  const none = new Bench(['a'], { reconnectRetries: 0 });
  (await none.connected()).end();
  t.strictSame(none.states, ['connecting', 'connected', 'stopped: a lost']);
  t.match(none.log.lines, [{ event: 'lost', message: 'a lost' }]);
  t.equal(await none.triesAfter(60_000), false);
  const one = new Bench(['a'], { reconnectRetries: 1 });
  (await one.connected()).end();
  (await one.next()).fail('lost');
  t.equal(await one.triesAfter(60), true);
  (await one.next()).fail('lost');
  await settled();
  t.equal(one.link.state, 'stopped');
});

t.test('a session that has ended before anybody heard of it', async (t) => {
  const bench = new Bench();
  const acquired = bench.link.acquire();
  const attempt = await bench.next();
  const session = new Session('a');
  session.end();
  attempt.succeed(session);
  await acquired;
  t.strictSame(bench.states, ['connecting', 'lost: a lost']);
  t.strictSame(bench.calls, ['down lost connecting']);
  (await bench.next()).succeed();
  await settled();
  t.equal(bench.link.state, 'connected');
});

t.test('the end while it searches: at the start, after a loss, in a pause; what opens late is dropped', async (t) => {
  const starting = new Bench(['a'], { startRetries: null });
  const refused = t.rejects(starting.link.acquire(), { message: /any more/ });
  const late = await starting.next();
  starting.link.abandon();
  const session = late.succeed();
  await refused;
  t.equal(session.dropped, true);
  t.strictSame(starting.states, ['connecting', 'stopped']);

  const pausing = new Bench(['a'], { startRetries: null });
  const given = t.rejects(pausing.link.acquire(), { message: /any more/ });
  (await pausing.next()).fail('lost');
  await settled();
  pausing.link.abandon();
  await given;
  t.equal(await pausing.triesAfter(60_000), false);

  const lost = new Bench();
  (await lost.connected()).end();
  const again = await lost.next();
  await lost.link.release();
  const second = again.succeed();
  await settled();
  t.equal(second.dropped, true);
  t.equal(lost.link.state, 'stopped');
  t.equal(lost.link.epoch, 1);
});

t.test('one beside another that says what becomes of the server', async (t) => {
  for (const [quiet, levels] of [
    [false, ['error', 'error', 'info']],
    [true, ['debug', 'debug', 'debug']],
  ] as const) {
    const bench = new Bench(['a'], {}, quiet);
    (await bench.connected()).end();
    (await bench.next()).fail('lost');
    await bench.triesAfter(60);
    (await bench.next()).succeed();
    await settled();
    t.strictSame(
      bench.log.lines.map(({ level, event }) => `${level} ${event}`),
      [`${levels[0]} lost`, `${levels[1]} unreachable`, `${levels[2]} connected`],
    );
  }
});

t.test('dropped at once: no farewell, and what it says later is not heard', async (t: Test) => {
  const bench = new Bench();
  const session = await bench.connected();
  bench.link.abandon();
  t.strictSame([session.dropped, session.bidFarewell], [true, false]);
  session.end();
  await settled();
  t.strictSame(bench.states, ['connecting', 'connected', 'stopped']);
  t.equal(await bench.triesAfter(60_000), false);
});
