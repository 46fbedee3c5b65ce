/**
 * What is on its way to Redis: all calls of one turn of the event loop go out together, the atomic ones in one MULTI. Redis goes on behind
 * a command of a MULTI that fails; what must not be without something else belongs into one script call (redis-removal.ts).
 *
 * Owns: the order of operations, which of them wait for a lost or refusing server, and the bound on what waits.
 *
 * Policy while the server cannot be reached, or refuses (out of memory, disk full):
 *  - `keep` operations (acknowledgements, results) wait, at most `maxWaiting` of them and `maxWaitingBytes`, and are sent in their order
 *    when it is back. One whose reply was lost with the connection is sent again: it must be idempotent. Beyond the bound the newest
 *    one fails with the kind 'full'.
 *  - all others fail at once: their caller must know. Those without a reply say so (`uncertain`).
 */
import type { Logger } from '../log/logger.ts';
import { ofCommand, passingKinds, RedisFailure, toRedisFailure } from './redis-failure.ts';
import { luaOf, type RedisCommand } from './redis-script.ts';
import type { RedisSession } from './redis-session.ts';

export interface RedisOperation {
  /** Waits for the server; may be sent twice. */
  readonly keep: boolean;
  /** Waits also until the user of the URL gets a right that is missing. */
  readonly needsRights?: boolean;
  /** May go with what others send next, within `patienceMs`. */
  readonly patient?: boolean;
  /** In the MULTI of its turn. false: behind it, by itself. */
  readonly atomic: boolean;
  /** About what it takes while it waits. 0: it waits whatever else does, because something else bounds it. */
  readonly bytes: number;
  /** Asked once, when it is first sent; until then it may grow. */
  commands(): readonly RedisCommand[];
  /** One reply for each command. `resent`: an earlier attempt may have had its effect. */
  done(replies: readonly unknown[], resent: boolean): void;
  failed(failure: RedisFailure): void;
}

export interface RedisOutboxParams {
  readonly log: Logger;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** The server turned out to be a replica: this connection is of no use. */
  onReadonly(failure: RedisFailure): void;
}

/** Commands in one MULTI, unless one turn had more: it holds up everybody else. */
const batchCommands = 1000;
const patienceMs = 1;
const firstRetryMs = 100;
const lastRetryMs = 2000;

class Entry {
  readonly operation: RedisOperation;
  readonly sequence: number;
  readonly turn: number;
  commands: readonly RedisCommand[] | null = null;
  readonly replies: unknown[] = [];
  /** Commands without a reply. */
  todo: number[] = [];
  resent = false;
  /** The server has forgotten a script of these: they go as text, which it cannot forget. */
  asText = false;

  constructor(operation: RedisOperation, sequence: number, turn: number) {
    this.operation = operation;
    this.sequence = sequence;
    this.turn = turn;
  }

  prepare(): readonly RedisCommand[] {
    if (this.commands === null) {
      this.commands = this.operation.commands();
      this.todo = [...this.commands.keys()];
    }
    return this.commands;
  }
}

export class RedisOutbox {
  readonly #params: RedisOutboxParams;
  #session: RedisSession | null = null;
  #stopped = true;
  /** For the next turn. */
  #queue: Entry[] = [];
  /** Kept for a server that is lost or refuses; they go before the queue. */
  #waiting: Entry[] = [];
  #waitingBytes = 0;
  #immediate: NodeJS.Immediate | null = null;
  #patience: NodeJS.Timeout | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = firstRetryMs;
  /** Why nothing can be sent now. */
  #failure: RedisFailure;
  #refused: RedisFailure | null = null;
  #loaded = new Set<string>();
  /** Scripts cannot be loaded beforehand (SCRIPT LOAD is refused). */
  #onlyText = false;
  #sequence = 0;
  #turn = 0;
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(params: RedisOutboxParams) {
    this.#params = params;
    this.#failure = new RedisFailure('stopped', 'the connection to Redis is not started');
  }

  /** Operations that wait for the server. */
  get waiting(): number {
    return this.#waiting.length;
  }

  add(operation: RedisOperation): void {
    const entry = new Entry(operation, this.#sequence++, this.#turn);
    if (operation.patient === true) this.#patience ??= setTimeout(() => this.#flush(), patienceMs);
    else this.#immediate ??= setImmediate(() => this.#flush());
    if (this.#session === null || (this.#retry !== null && operation.keep)) this.#wait(entry);
    else this.#queue.push(entry);
  }

  connected(session: RedisSession): void {
    this.#session = session;
    this.#stopped = false;
    this.#loaded = new Set();
    this.#onlyText = false;
    this.#retryMs = firstRetryMs;
    this.#refused = null;
    this.#queue = [...this.#takeWaiting(), ...this.#queue];
    this.#flush();
  }

  /** A failure of the kind 'stopped': nothing can wait any more. */
  lost(failure: RedisFailure): void {
    this.#session = null;
    this.#failure = failure;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#stopped = failure.kind === 'stopped';
    if (this.#stopped) for (const entry of this.#takeWaiting()) entry.operation.failed(failure);
    const queue = this.#queue;
    this.#queue = [];
    for (const entry of queue) this.#wait(entry);
    this.#settleIdle();
  }

  /** Send what there is and wait for its replies. */
  async drained(): Promise<void> {
    this.#flush();
    while (this.#session !== null && (this.#inFlight > 0 || this.#queue.length > 0 || this.#waiting.length > 0)) {
      const idle = Promise.withResolvers<void>();
      this.#idle.push(idle.resolve);
      await idle.promise;
    }
  }

  #wait(entry: Entry): void {
    const { operation } = entry;
    if (!operation.keep || this.#stopped) {
      operation.failed(this.#failure);
    } else if (operation.bytes > 0 && this.#full(operation.bytes)) {
      const text = `too much waits for Redis already: ${this.#waiting.length} operations, ${this.#waitingBytes} bytes; ${this.#failure.message}`;
      operation.failed(new RedisFailure('full', text));
    } else {
      this.#waiting.push(entry);
      this.#waitingBytes += operation.bytes;
    }
  }

  #full(bytes: number): boolean {
    return this.#waiting.length >= this.#params.maxWaiting || this.#waitingBytes + bytes > this.#params.maxWaitingBytes;
  }

  #takeWaiting(): Entry[] {
    const entries = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    // What was in flight comes back behind what was added meanwhile.
    return entries.sort((a, b) => a.sequence - b.sequence);
  }

  #flush(): void {
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#immediate = null;
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#patience = null;
    this.#turn++;
    const session = this.#session;
    if (session === null) return;
    const entries = this.#retry === null ? this.#queue : this.#queue.filter((entry) => !this.#waitsForServer(entry));
    this.#queue = [];
    if (entries.length === 0) return;
    let batch: Entry[] = [];
    let count = 0;
    for (const entry of entries) {
      entry.prepare();
      // What was asked in one turn stays together.
      if (count > 0 && count + entry.todo.length > batchCommands && batch.at(-1)?.turn !== entry.turn) {
        this.#send(session, batch);
        batch = [];
        count = 0;
      }
      batch.push(entry);
      count += entry.todo.length;
    }
    this.#send(session, batch);
  }

  #waitsForServer(entry: Entry): boolean {
    if (!entry.operation.keep) return false;
    this.#wait(entry);
    return true;
  }

  #send(session: RedisSession, batch: readonly Entry[]): void {
    const commands: RedisCommand[] = [];
    const atomic: Entry[] = [];
    const single: Entry[] = [];
    let atomicCommands = 0;
    const loading: string[] = [];
    for (const entry of batch) {
      this.#load(entry, commands, loading);
      if (entry.operation.atomic) atomicCommands += entry.todo.length;
      (entry.operation.atomic ? atomic : single).push(entry);
    }
    const first = commands.length;
    const multi = atomicCommands > 1;
    if (multi) commands.push(['MULTI']);
    for (const entry of atomic) this.#pushTodo(entry, commands);
    if (multi) commands.push(['EXEC']);
    for (const entry of single) this.#pushTodo(entry, commands);
    this.#inFlight++;
    const onReplies = (replies: readonly unknown[]): void => {
      this.#inFlight--;
      this.#wereLoaded(loading, replies);
      if (multi) {
        const exec = replies[first + 1 + atomicCommands];
        // Without its MULTI each command was done, or refused, by itself.
        if (replies[first] instanceof RedisFailure) this.#settleAll(session, atomic, replies, first + 1);
        else if (Array.isArray(exec)) this.#settleAll(session, atomic, exec, 0);
        else if (exec instanceof RedisFailure) this.#aborted(session, atomic, replies, first + 1, exec);
        else this.#settleAll(session, atomic, [], 0);
        this.#settleAll(session, single, replies, first + 2 + atomicCommands);
      } else {
        this.#settleAll(session, single, replies, this.#settleAll(session, atomic, replies, first));
      }
      this.#settleIdle();
    };
    session.send(commands, onReplies);
  }

  /** Scripts this server has not seen go before the batch. */
  #load(entry: Entry, commands: RedisCommand[], loading: string[]): void {
    if (entry.asText || this.#onlyText) return;
    for (const at of entry.todo) {
      const command = entry.commands?.[at];
      if (command?.[0] !== 'EVALSHA') continue;
      const sha = String(command[1]);
      const lua = luaOf(sha);
      if (lua === undefined || this.#loaded.has(sha)) continue;
      this.#loaded.add(sha);
      loading.push(sha);
      commands.push(['SCRIPT', 'LOAD', lua]);
    }
  }

  #wereLoaded(loading: readonly string[], replies: readonly unknown[]): void {
    for (const [at, sha] of loading.entries()) {
      const reply = replies[at];
      if (!(reply instanceof RedisFailure)) continue;
      this.#loaded.delete(sha);
      if (reply.kind === 'permission' || reply.kind === 'command') this.#onlyText = true;
    }
  }

  #pushTodo(entry: Entry, commands: RedisCommand[]): void {
    for (const at of entry.todo) {
      const command = entry.commands?.[at];
      if (command !== undefined) commands.push(entry.asText || this.#onlyText ? asText(command) : command);
    }
  }

  /** Returns where the replies of the next entries begin. */
  #settleAll(session: RedisSession, entries: readonly Entry[], replies: readonly unknown[], from: number): number {
    let at = from;
    for (const entry of entries) {
      const count = entry.todo.length;
      this.#settle(session, entry, replies, at);
      at += count;
    }
    return at;
  }

  #settle(session: RedisSession, entry: Entry, replies: readonly unknown[], from: number): void {
    const { operation } = entry;
    const left: number[] = [];
    let failure: RedisFailure | null = null;
    for (const [step, at] of entry.todo.entries()) {
      const reply = inOurWords(replies[from + step], session.where, entry.commands?.[at]);
      if (reply === undefined) {
        left.push(at);
        entry.resent = true;
        failure ??= new RedisFailure('lost', `the connection to Redis broke before the reply (${session.where})`, { uncertain: true });
      } else if (reply instanceof RedisFailure) {
        if (this.#mayPass(entry, reply, at)) left.push(at);
        else entry.replies[at] = reply;
        failure ??= reply;
      } else {
        entry.replies[at] = reply;
      }
    }
    entry.todo = left;
    if (left.length > 0 && failure !== null) this.#again(session, entry, failure);
    else if (failure !== null) operation.failed(failure);
    else {
      if (operation.keep) this.#accepted();
      operation.done(entry.replies, entry.resent);
    }
  }

  /** Worth another attempt, sooner or later? */
  #mayPass(entry: Entry, failure: RedisFailure, at: number): boolean {
    if (failure.kind === 'noscript') {
      this.#loaded.delete(String(entry.commands?.[at]?.[1]));
      const before = entry.asText;
      entry.asText = true;
      return !before;
    }
    if (failure.kind === 'readonly') this.#params.onReadonly(failure);
    return entry.operation.keep && (failure.kind === 'readonly' || this.#passes(entry, failure));
  }

  /** Until then it waits. */
  #passes({ operation }: Entry, { kind }: RedisFailure): boolean {
    return passingKinds.has(kind) || (kind === 'permission' && operation.needsRights === true);
  }

  /** Refused while it was put together: nothing has happened, and the replies so far say because of which commands. */
  #aborted(session: RedisSession, entries: readonly Entry[], replies: readonly unknown[], from: number, exec: RedisFailure): void {
    let at = from;
    let found = false;
    const innocent: Entry[] = [];
    for (const entry of entries) {
      const queued = replies.slice(at, at + entry.todo.length);
      at += entry.todo.length;
      const first = queued.findIndex((reply) => reply instanceof RedisFailure);
      const failure = inOurWords(queued[first], session.where, entry.commands?.[entry.todo[first] ?? 0]);
      if (!(failure instanceof RedisFailure)) {
        innocent.push(entry);
        continue;
      }
      found = true;
      if (this.#mayPass(entry, failure, 0)) this.#again(session, entry, failure);
      else entry.operation.failed(failure);
    }
    for (const entry of innocent) {
      if (found || this.#mayPass(entry, exec, 0)) this.#again(session, entry, exec);
      else entry.operation.failed(exec);
    }
  }

  #again(session: RedisSession, entry: Entry, failure: RedisFailure): void {
    if (entry.operation.keep && this.#passes(entry, failure)) this.#hold(failure);
    if (session !== this.#session || failure.kind === 'lost' || failure.kind === 'readonly') {
      if (entry.operation.keep && this.#session !== null && session !== this.#session) this.#requeue(entry);
      else if (entry.operation.keep) this.#wait(entry);
      else entry.operation.failed(failure);
    } else if (this.#retry !== null && entry.operation.keep) {
      this.#wait(entry);
    } else {
      this.#requeue(entry);
    }
  }

  #requeue(entry: Entry): void {
    this.#queue.push(entry);
    this.#immediate ??= setImmediate(() => this.#flush());
  }

  #hold(failure: RedisFailure): void {
    if (this.#refused === null) this.#params.log.warning('redis.refuses', `${failure.message}; acknowledgements and results wait`);
    this.#refused = failure;
    if (this.#retry !== null) return;
    const retry = (): void => {
      this.#retry = null;
      this.#queue = [...this.#takeWaiting(), ...this.#queue];
      this.#flush();
    };
    this.#retry = setTimeout(retry, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
  }

  #accepted(): void {
    if (this.#refused === null) return;
    this.#params.log.info('redis.accepts', 'Redis takes writes again');
    this.#refused = null;
    this.#retryMs = firstRetryMs;
  }

  #settleIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

function asText(command: RedisCommand): RedisCommand {
  const [name, sha, ...rest] = command;
  const lua = name === 'EVALSHA' ? luaOf(String(sha)) : undefined;
  return lua === undefined ? command : ['EVAL', lua, ...rest];
}

/** Replies inside EXEC come as the client library made them. */
function inOurWords(reply: unknown, where: string, command: RedisCommand | undefined): unknown {
  if (!(reply instanceof Error)) return reply;
  const failure = toRedisFailure(reply, where);
  return command === undefined ? failure : ofCommand(failure, command);
}
