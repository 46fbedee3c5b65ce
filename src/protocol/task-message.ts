/**
 * Task messages: from a message to what a worker needs to know of it, and from a task to a message.
 *
 * `readReceipt` is the parent's view: headers only, for protocol 2. `readContent` is the pool child's: the body. Protocol 1
 * and the hybrid form of old clients carry everything in the body, so there the parent has to read it as well.
 * Whether the content type is accepted is asked before (serializer.ts, isAccepted).
 * Source: protocol notes, messages.md §2-§4 and §7; versions.md §4.
 */
import { messageOf, UmbelError } from '../errors.ts';
import { repr, reprArgs, reprKwargs } from '../std/safe-repr.ts';
import { chainAsLinks } from './chain-as-links.ts';
import { compress, decompress } from './compression.ts';
import { formatIsoTime, parseIsoTime } from './iso-time.ts';
import { encodeJson } from './json.ts';
import type { Message, MessageProperties } from './message.ts';
import { decodeContent, decodeJsonText } from './serializer.ts';

/** What the headers (or the body of protocol 1) say about a task. */
export interface TaskHeader {
  readonly protocol: 1 | 2;
  readonly task: string;
  readonly id: string;
  readonly retries: number;
  /** Unix ms. */
  readonly etaMs: number | null;
  /** Unix ms. */
  readonly expiresMs: number | null;
  readonly group: string | null;
  readonly groupIndex: number | null;
  /** Its own id when the sender gave none. */
  readonly rootId: string;
  readonly parentId: string | null;
  readonly hardTimeLimitSeconds: number | null;
  readonly softTimeLimitSeconds: number | null;
  readonly shadow: string | null;
  /** null: the caller did not say. */
  readonly ignoreResult: boolean | null;
  readonly origin: string | null;
  readonly argsrepr: string | null;
  readonly kwargsrepr: string | null;
  readonly replacedTaskNesting: number;
  readonly stampedHeaders: readonly string[] | null;
  readonly stamps: Readonly<Record<string, unknown>>;
}

export type Receipt =
  | { readonly kind: 'task'; readonly header: TaskHeader }
  /** Not a task at all: "Wrong destination?!?" */
  | { readonly kind: 'unknown' }
  /** A task message that breaks the protocol; the reason is in Celery's words where it has some. */
  | { readonly kind: 'invalid'; readonly reason: string }
  | { readonly kind: 'undecodable'; readonly reason: string };

/** The body of a task message. Signatures are as parsed: canvas/signature.ts reads them. */
export interface TaskContent {
  readonly args: unknown[];
  readonly kwargs: Record<string, unknown>;
  readonly callbacks: unknown[] | null;
  readonly errbacks: unknown[] | null;
  /** The remaining steps, the next one last. */
  readonly chain: unknown[] | null;
  readonly chord: unknown;
}

/** A task to be sent. Absent and null both mean "not given". */
export interface OutgoingTask {
  readonly task: string;
  readonly id: string;
  readonly args: readonly unknown[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  /** gen<pid>@<hostname> of the sending process. */
  readonly origin: string;
  readonly etaMs?: number | null;
  readonly expiresMs?: number | null;
  readonly retries?: number | null;
  readonly group?: string | null;
  readonly groupIndex?: number | null;
  readonly rootId?: string | null;
  readonly parentId?: string | null;
  readonly hardTimeLimitSeconds?: number | null;
  readonly softTimeLimitSeconds?: number | null;
  readonly shadow?: string | null;
  /** The header is sent only when this is given. */
  readonly ignoreResult?: boolean | null;
  /** Default: computed from the arguments. */
  readonly argsrepr?: string | null;
  readonly kwargsrepr?: string | null;
  readonly replyTo?: string | null;
  readonly priority?: number | null;
  readonly deliveryMode?: 1 | 2 | null;
  readonly callbacks?: readonly unknown[] | null;
  readonly errbacks?: readonly unknown[] | null;
  readonly chain?: readonly unknown[] | null;
  readonly chord?: unknown;
  readonly stampedHeaders?: readonly string[] | null;
  readonly stamps?: Readonly<Record<string, unknown>> | null;
  readonly replacedTaskNesting?: number | null;
  /** Custom headers; they override ours of the same name. */
  readonly headers?: Readonly<Record<string, unknown>> | null;
  /** Message properties of other names. */
  readonly extraProperties?: Readonly<Record<string, unknown>> | null;
  /** Name of a compression; default none. */
  readonly compression?: string | null;
  /** Default, and so far the only one, json. */
  readonly serializer?: string | null;
  /** Default 2. */
  readonly protocol?: 1 | 2;
}

type Fields = Readonly<Record<string, unknown>>;

const mustBeMapping = 'Task keyword arguments must be a mapping';

/** The parent's reading. For protocol 2 the body is not touched. */
export function readReceipt(message: Message): Receipt {
  const { headers } = message;
  if (headers === null) return { kind: 'unknown' };
  if ('task' in headers) {
    if (message.properties.contentType === '') return invalid('the content type must not be empty');
    return looksHybrid(message) ? readHybrid(message, headers) : readHeader(headers, 2, true);
  }
  let body: unknown;
  try {
    body = decodeBody(message);
  } catch (error) {
    return { kind: 'undecodable', reason: messageOf(error) };
  }
  if (!isRecord(body) || !('task' in body)) return { kind: 'unknown' };
  if ('kwargs' in body && !isRecord(body.kwargs)) return invalid(mustBeMapping);
  const args = Array.isArray(body.args) ? body.args : [];
  const kwargs = isRecord(body.kwargs) ? body.kwargs : {};
  const group = body.group ?? body.taskset ?? null;
  return readHeader({ ...body, group, argsrepr: reprArgs(args), kwargsrepr: reprKwargs(kwargs) }, 1, body.utc !== false);
}

/** Protocol-2 headers over a protocol-1 body (late 3.1 clients). Such a body is an object, where protocol 2 has an array. */
function looksHybrid(message: Message): boolean {
  return message.body[0] === 0x7b && message.headers?.compression === undefined && message.properties.contentType === 'application/json';
}

function readHybrid(message: Message, headers: Fields): Receipt {
  try {
    const body = decodeBody(message);
    if (!isRecord(body) || !('args' in body)) return invalid('the body must be an array of args, kwargs and embed');
    if ('kwargs' in body && !isRecord(body.kwargs)) return invalid(mustBeMapping);
    return readHeader({ ...body, ...headers }, 2, body.utc !== false);
  } catch (error) {
    return { kind: 'undecodable', reason: messageOf(error) };
  }
}

function readHeader(fields: Fields, protocol: 1 | 2, utc: boolean): Receipt {
  const { task, id, timelimit } = fields;
  if (typeof task !== 'string' || task === '') return invalid(`the task name must be a non-empty string, got ${repr(task, 100)}`);
  if (typeof id !== 'string' || id === '') return invalid(`the task id must be a non-empty string, got ${repr(id, 100)}`);
  const etaMs = readTime(fields.eta, utc);
  if (typeof etaMs === 'string') return invalid(`invalid ETA value ${repr(fields.eta, 100)}: ${etaMs}`);
  const expiresMs = readTime(fields.expires, utc);
  if (typeof expiresMs === 'string') return invalid(`invalid expires value ${repr(fields.expires, 100)}: ${expiresMs}`);
  const retries = readNumber(fields.retries ?? 0);
  if (retries === null) return invalid(`retries must be a number, got ${repr(fields.retries, 100)}`);
  let hardTimeLimitSeconds: number | null = null;
  let softTimeLimitSeconds: number | null = null;
  if (Array.isArray(timelimit)) {
    hardTimeLimitSeconds = readNumber(timelimit[0]);
    softTimeLimitSeconds = readNumber(timelimit[1]);
    if ((hardTimeLimitSeconds === null && isGiven(timelimit[0])) || (softTimeLimitSeconds === null && isGiven(timelimit[1]))) {
      return invalid(`timelimit must be [hard, soft] in seconds, got ${repr(timelimit, 100)}`);
    }
  } else if (isGiven(timelimit)) {
    return invalid(`timelimit must be [hard, soft] in seconds, got ${repr(timelimit, 100)}`);
  }
  return {
    kind: 'task',
    header: {
      protocol,
      task,
      id,
      retries,
      etaMs,
      expiresMs,
      group: readText(fields.group),
      groupIndex: readNumber(fields.group_index),
      rootId: readText(fields.root_id) ?? id,
      parentId: readText(fields.parent_id),
      hardTimeLimitSeconds,
      softTimeLimitSeconds,
      shadow: readText(fields.shadow),
      ignoreResult: typeof fields.ignore_result === 'boolean' ? fields.ignore_result : null,
      origin: readText(fields.origin),
      argsrepr: readText(fields.argsrepr),
      kwargsrepr: readText(fields.kwargsrepr),
      replacedTaskNesting: readNumber(fields.replaced_task_nesting) ?? 0,
      stampedHeaders: Array.isArray(fields.stamped_headers) ? fields.stamped_headers.map(String) : null,
      stamps: isRecord(fields.stamps) ? fields.stamps : {},
    },
  };
}

/** null: not given; a string: what is wrong. */
function readTime(value: unknown, utc: boolean): number | null | string {
  if (value === null || value === undefined || value === '') return null;
  if (typeof value !== 'string') return 'expected an ISO-8601 string';
  return parseIsoTime(value, { utc }) ?? `unable to parse date string ${repr(value, 100)}`;
}

/** Old clients sent some numbers as text. */
function readNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))) return Number(value);
  return null;
}

function readText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : null;
}

function isGiven(value: unknown): boolean {
  return value !== null && value !== undefined;
}

function invalid(reason: string): Receipt {
  return { kind: 'invalid', reason };
}

/** The child's reading. Throws MESSAGE_UNDECODABLE, NOT_SUPPORTED (a serializer or compression that is not built) or MESSAGE_INVALID. */
export function readContent(message: Message, protocol: 1 | 2): TaskContent {
  return contentIn(decodeBody(message), protocol);
}

/** How Python ends a message when nothing follows its task: nothing of it needs to be parsed. */
const nothingFollows = ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]';

/** As `readContent`, of JSON in protocol 2. */
export function readContentText(body: string): TaskContent {
  const called = body.endsWith(nothingFollows) ? calledIn(body) : null;
  return called === null ? contentIn(decodeJsonText(body), 2) : contentOf(called[0], called[1], null);
}

/** args and kwargs of a body that ends so; null: it is not of that form, and what is wrong with it is for the full reading to say. */
function calledIn(body: string): unknown[] | null {
  try {
    const called = decodeJsonText(`${body.slice(0, -nothingFollows.length)}]`);
    return Array.isArray(called) && called.length === 2 ? called : null;
  } catch {
    return null;
  }
}

function contentIn(body: unknown, protocol: 1 | 2): TaskContent {
  if (Array.isArray(body) && protocol === 2) {
    if (body.length !== 3) throw broken(`the body must have 3 elements (args, kwargs, embed), got ${body.length}`);
    return contentOf(body[0], body[1], body[2]);
  }
  if (!isRecord(body)) throw broken(`the body must be ${protocol === 2 ? 'an array' : 'an object'}, got ${repr(body, 100)}`);
  if (protocol === 2 && !('args' in body)) throw broken(`the body must be an array or have args, got ${repr(body, 100)}`);
  return contentOf(body.args, body.kwargs, { callbacks: body.callbacks, errbacks: body.errbacks, chord: body.chord });
}

function contentOf(args: unknown, kwargs: unknown, embed: unknown): TaskContent {
  if (isGiven(args) && !Array.isArray(args)) throw broken(`Task arguments must be a list, got ${repr(args, 100)}`);
  if (isGiven(kwargs) && !isRecord(kwargs)) throw broken(`${mustBeMapping}, got ${repr(kwargs, 100)}`);
  if (isGiven(embed) && !isRecord(embed)) throw broken(`embed must be an object, got ${repr(embed, 100)}`);
  const parts = isRecord(embed) ? embed : {};
  return {
    args: Array.isArray(args) ? args : [],
    kwargs: isRecord(kwargs) ? kwargs : {},
    callbacks: signaturesOf(parts.callbacks, 'callbacks'),
    errbacks: signaturesOf(parts.errbacks, 'errbacks'),
    chain: signaturesOf(parts.chain, 'chain'),
    chord: parts.chord ?? null,
  };
}

function signaturesOf(value: unknown, name: string): unknown[] | null {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value;
  if (isRecord(value)) return [value];
  throw broken(`${name} must be a list of signatures, got ${repr(value, 100)}`);
}

function broken(rule: string): UmbelError {
  return new UmbelError('MESSAGE_INVALID', rule);
}

function decodeBody(message: Message): unknown {
  const { properties, headers, body } = message;
  const compression = headers?.compression;
  const plain = typeof compression === 'string' && compression !== '' ? decompress(body, compression) : body;
  return decodeContent(plain, properties.contentType, properties.contentEncoding);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Throws TypeError when an argument is not serializable, NOT_SUPPORTED when the serializer or compression is not built. */
export function encodeTask(task: OutgoingTask, nowMs = Date.now()): Message {
  const serializer = task.serializer ?? 'json';
  if (serializer !== 'json' && serializer !== 'application/json') {
    throw new UmbelError('NOT_SUPPORTED', `task_serializer must be json in this version, got "${serializer}" for ${task.task}`);
  }
  const first = task.protocol === 1;
  let body = Buffer.from(first ? encodeBody1(task) : encodeBody2(task));
  const headers: Record<string, unknown> = first ? {} : headersOf(task);
  if (isGiven(task.headers)) addCustomHeaders(headers, task.headers as Fields, task.task);
  if (typeof task.compression === 'string') {
    const compressed = compress(body, task.compression);
    body = compressed.body as Buffer<ArrayBuffer>;
    headers.compression = compressed.header;
  }
  const properties: Mutable<MessageProperties> = {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: task.id,
    replyTo: task.replyTo ?? '',
    deliveryMode: task.deliveryMode ?? 2,
    priority: task.priority ?? 0,
  };
  if (typeof task.expiresMs === 'number') properties.expiration = String(Math.max(0, Math.floor(task.expiresMs - nowMs)));
  if (isGiven(task.extraProperties)) properties.extra = task.extraProperties as Record<string, unknown>;
  return { properties, headers, body };
}

/**
 * They override ours. One that Python workers do not survive (messages.md §7: no id; a time limit of another shape) is refused; undefined is not given.
 * Throws TASK_OPTION_INVALID.
 */
function addCustomHeaders(headers: Record<string, unknown>, custom: Fields, taskName: string): void {
  for (const name in custom) {
    if (!Object.hasOwn(custom, name)) continue;
    const value = custom[name];
    if (value === undefined) continue;
    const rule = vitalHeaders.get(name);
    if (rule !== undefined && !rule.fits(value))
      throw new UmbelError(
        'TASK_OPTION_INVALID',
        `call of task ${taskName}: the header ${name} must be ${rule.text}, got ${repr(value, 100)}`,
      );
    if (name === '__proto__') Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
    else headers[name] = value;
  }
}

const aName = { text: 'a non-empty text', fits: (value: unknown): boolean => typeof value === 'string' && value !== '' };
const vitalHeaders: ReadonlyMap<string, { readonly text: string; fits(value: unknown): boolean }> = new Map([
  ['task', aName],
  ['id', aName],
  [
    'timelimit',
    {
      text: '[hard, soft] in seconds',
      fits: (value: unknown): boolean =>
        value === null ||
        (Array.isArray(value) &&
          value.length === 2 &&
          value.every((limit) => !isGiven(limit) || (typeof limit === 'number' && limit >= 0))),
    },
  ],
]);

function headersOf(task: OutgoingTask): Record<string, unknown> {
  const headers: Record<string, unknown> = {
    lang: 'js',
    task: task.task,
    id: task.id,
    shadow: task.shadow ?? null,
    eta: timeText(task.etaMs),
    expires: timeText(task.expiresMs),
    group: task.group ?? null,
    group_index: task.groupIndex ?? null,
    retries: task.retries ?? 0,
    timelimit: [task.hardTimeLimitSeconds ?? null, task.softTimeLimitSeconds ?? null],
    root_id: task.rootId ?? task.id,
    parent_id: task.parentId ?? null,
    argsrepr: task.argsrepr ?? reprArgs(task.args),
    kwargsrepr: task.kwargsrepr ?? reprKwargs(task.kwargs),
    origin: task.origin,
  };
  // From 5.6.3 on an explicit value overrides the task's own setting: only a caller who asked sends it.
  if (typeof task.ignoreResult === 'boolean') headers.ignore_result = task.ignoreResult;
  headers.replaced_task_nesting = task.replacedTaskNesting ?? 0;
  headers.stamped_headers = task.stampedHeaders ?? null;
  headers.stamps = task.stamps ?? {};
  return headers;
}

function encodeBody2(task: OutgoingTask): string {
  return (
    `[${encodeJson(task.args)},${encodeJson(task.kwargs)},{"callbacks":${encodeOptional(task.callbacks)}` +
    `,"errbacks":${encodeOptional(task.errbacks)},"chain":${encodeOptional(task.chain)},"chord":${encodeOptional(task.chord)}}]`
  );
}

function encodeBody1(task: OutgoingTask): string {
  const { chain } = task;
  const isChain = chain !== undefined && chain !== null && chain.length > 0;
  return encodeJson({
    task: task.task,
    id: task.id,
    args: task.args,
    kwargs: task.kwargs,
    group: task.group ?? null,
    group_index: task.groupIndex ?? null,
    retries: task.retries ?? 0,
    eta: timeText(task.etaMs),
    expires: timeText(task.expiresMs),
    utc: true,
    callbacks: isChain ? [...(task.callbacks ?? []), chainAsLinks(chain)] : (task.callbacks ?? null),
    errbacks: task.errbacks ?? null,
    timelimit: [task.hardTimeLimitSeconds ?? null, task.softTimeLimitSeconds ?? null],
    taskset: task.group ?? null,
    chord: task.chord ?? null,
  });
}

function encodeOptional(value: unknown): string {
  return value === null || value === undefined ? 'null' : encodeJson(value);
}

function timeText(unixMs: number | null | undefined): string | null {
  return typeof unixMs === 'number' ? formatIsoTime(unixMs) : null;
}
