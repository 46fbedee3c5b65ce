/**
 * A task message in the plain form, read from the three AMQP frames it came in (basic.deliver, content header, one body frame) without taking
 * all of them apart: protocol/plain-task.ts for RabbitMQ.
 *
 * Plain is the same here as there. What is found is exactly what reading the whole header table and readReceipt find; every other
 * message is left to them. The child is given the same bytes and reads them the same way.
 */
import { decodeTable } from '../std/field-table.ts';
import type { Message, MessageProperties } from './message.ts';
import { namedHeaders } from './named-headers.ts';
import { noStamps, type PlainTask } from './plain-task.ts';
import { readContent, readContentText, type TaskContent, type TaskHeader } from './task-message.ts';

/** Longer ones gain nothing. */
const longestFrames = 16_384;

/** Type, channel and size of a frame; one byte follows the payload. */
const before = 7;
/** Class, weight and size of the body, before the flags of a content header. */
const flagsAt = 12;
/** Content type and encoding, headers, delivery mode, priority, correlation id, reply to; no other property. */
const plainFlags = 0xfe00;
const plainContent = '\x10application/json\x05utf-8';
const beyondAscii = /[\x80-\xff]/;
const named: ReadonlySet<string> = new Set(namedHeaders);

/** A header's name as the table has it. */
const key = (name: string): string => String.fromCharCode(name.length) + name;
const keys = {
  lang: key('lang'),
  task: key('task'),
  id: key('id'),
  shadow: key('shadow'),
  /** Nothing in both. */
  times: `${key('eta')}V${key('expires')}V`,
  group: key('group'),
  groupIndex: key('group_index'),
  retries: key('retries'),
  timelimit: key('timelimit'),
  rootId: key('root_id'),
  parentId: key('parent_id'),
  argsrepr: key('argsrepr'),
  kwargsrepr: key('kwargsrepr'),
  origin: key('origin'),
  ignoreResult: key('ignore_result'),
  nesting: key('replaced_task_nesting'),
  stampedHeaders: `${key('stamped_headers')}V`,
  stamps: `${key('stamps')}F\0\0\0\0`,
};

/** What stands between the ids of a task and of its root. */
type Particulars = Pick<TaskHeader, 'shadow' | 'group' | 'groupIndex' | 'retries' | 'hardTimeLimitSeconds' | 'softTimeLimitSeconds'>;

/** A task that is called with nothing of its own there, and for the first time: nearly every one. */
const nothing: Particulars = {
  shadow: null,
  group: null,
  groupIndex: null,
  retries: 0,
  hardTimeLimitSeconds: null,
  softTimeLimitSeconds: null,
};
/** The bytes of that, compared in one go. */
const nothingThere = [
  `${keys.shadow}V${keys.times}${keys.group}V${keys.groupIndex}V`,
  `${keys.retries}I\0\0\0\0${keys.timelimit}A\0\0\0\x02VV`,
].join('');

/** Where a reading stands. One for all: it never outlives the call that uses it. */
let text = '';
let at = 0;
let plain = true;
/** There is nothing beyond ASCII where is being read: what is taken need not be looked at. */
let ascii = false;

function byte(): number {
  at += 1;
  return text.charCodeAt(at - 1);
}

function uint32(from: number): number {
  return (
    text.charCodeAt(from) * 0x1000000 + ((text.charCodeAt(from + 1) << 16) | (text.charCodeAt(from + 2) << 8) | text.charCodeAt(from + 3))
  );
}

function take(length: number): string {
  const value = text.substring(at, at + length);
  at += length;
  if (!ascii && beyondAscii.test(value)) plain = false;
  return value;
}

function shortText(): string {
  return take(byte());
}

function longText(): string {
  const length = uint32(at);
  at += 4;
  return take(length);
}

function int32(): number {
  at += 4;
  return uint32(at - 4) | 0;
}

function has(expected: string): boolean {
  if (!text.startsWith(expected, at)) return false;
  at += expected.length;
  return true;
}

function must(expected: string): void {
  if (!has(expected)) plain = false;
}

function textMember(name: string): string {
  must(name);
  if (byte() === 0x53) return longText();
  plain = false;
  return '';
}

function maybeText(name: string): string | null {
  must(name);
  const tag = byte();
  if (tag === 0x53) return longText();
  if (tag !== 0x56) plain = false;
  return null;
}

function maybeInteger(): number | null {
  const tag = byte();
  if (tag === 0x49) return int32();
  if (tag !== 0x56) plain = false;
  return null;
}

function integerMember(name: string): number {
  must(name);
  const value = maybeInteger();
  if (value === null) plain = false;
  return value ?? 0;
}

/** null: not of the plain form. */
function readParticulars(): Particulars | null {
  const shadow = maybeText(keys.shadow);
  if (!has(keys.times)) return null;
  const group = maybeText(keys.group);
  must(keys.groupIndex);
  const groupIndex = maybeInteger();
  const retries = integerMember(keys.retries);
  must(keys.timelimit);
  if (byte() !== 0x41) return null;
  const limitsEnd = at + 4 + uint32(at);
  at += 4;
  const hardTimeLimitSeconds = maybeInteger();
  const softTimeLimitSeconds = maybeInteger();
  if (at !== limitsEnd) return null;
  return { shadow, group, groupIndex, retries, hardTimeLimitSeconds, softTimeLimitSeconds };
}

/** A header of the caller's own. One that comes twice, or has a meaning (also to the broker), is not plain. */
function ownHeader(): void {
  const name = shortText();
  if (named.has(name) || name.startsWith('x-')) plain = false;
  switch (byte()) {
    case 0x53:
      longText();
      return;
    case 0x49:
      at += 4;
      return;
    case 0x74:
      at += 1;
      return;
    case 0x56:
      return;
    default:
      plain = false;
  }
}

class FramesTask implements PlainTask {
  readonly header: TaskHeader;
  readonly contentType = 'application/json';
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number;
  readonly deliveryTag: number;
  readonly correlationId: string;
  readonly replyTo: string;
  readonly #deliveryMode: 1 | 2;
  /** Bytes as latin1 text. */
  readonly #text: string;
  readonly #tableAt: number;
  readonly #tableEnd: number;
  readonly #bodyAt: number;
  #envelope: Buffer | null;
  #headers: Message['headers'] = null;

  constructor(fields: FoundFrames) {
    this.#envelope = fields.envelope;
    this.#text = fields.text;
    this.header = fields.header;
    this.exchange = fields.exchange;
    this.routingKey = fields.routingKey;
    this.priority = fields.priority;
    this.deliveryTag = fields.deliveryTag;
    this.correlationId = fields.correlationId;
    this.replyTo = fields.replyTo;
    this.#deliveryMode = fields.deliveryMode;
    this.#tableAt = fields.tableAt;
    this.#tableEnd = fields.tableEnd;
    this.#bodyAt = fields.bodyAt;
  }

  get envelope(): Buffer {
    this.#envelope ??= Buffer.from(this.#text, 'latin1');
    return this.#envelope;
  }

  get properties(): MessageProperties {
    return {
      contentType: this.contentType,
      contentEncoding: 'utf-8',
      correlationId: this.correlationId,
      replyTo: this.replyTo,
      deliveryMode: this.#deliveryMode,
      priority: this.priority,
    };
  }

  get headers(): Message['headers'] {
    this.#headers ??= decodeTable(this.envelope.subarray(this.#tableAt, this.#tableEnd));
    return this.#headers;
  }

  get body(): Buffer {
    return this.envelope.subarray(this.#bodyAt, this.envelope.length - 1);
  }

  content(): TaskContent {
    const body = this.#text.substring(this.#bodyAt, this.#text.length - 1);
    if (!beyondAscii.test(body)) return readContentText(body);
    return readContent({ properties: this.properties, headers: null, body: this.body }, 2);
  }
}

interface FoundFrames
  extends Pick<FramesTask, 'header' | 'exchange' | 'routingKey' | 'priority' | 'deliveryTag' | 'correlationId' | 'replyTo'> {
  /** null: only the text is here. */
  readonly envelope: Buffer | null;
  readonly text: string;
  readonly deliveryMode: 1 | 2;
  readonly tableAt: number;
  readonly tableEnd: number;
  readonly bodyAt: number;
}

/** The frames must be whole, one behind the other, and no more: bytes, or bytes as latin1 text. null: not of the plain form. */
export function readPlainFrames(frames: Buffer | string): FramesTask | null {
  if (frames.length > longestFrames) return null;
  text = typeof frames === 'string' ? frames : frames.toString('latin1');
  plain = true;
  ascii = false;
  // Class and method are known; the consumer's tag is not asked for.
  at = before + 4;
  at += 1 + text.charCodeAt(at);
  const deliveryTag = uint32(at) * 2 ** 32 + uint32(at + 4);
  at += 8;
  if (byte() !== 0) return null;
  const exchange = shortText();
  const routingKey = shortText();
  const headerAt = at + 1 + before;
  if (((text.charCodeAt(headerAt + flagsAt) << 8) | text.charCodeAt(headerAt + flagsAt + 1)) !== plainFlags) return null;
  at = headerAt + flagsAt + 2;
  if (!has(plainContent)) return null;
  const tableAt = at + 4;
  const tableEnd = tableAt + uint32(at);
  at = tableAt;
  // One look for all its texts. A length beyond ASCII, as a long text has it, only makes each be looked at.
  ascii = !beyondAscii.test(text.substring(tableAt, tableEnd));
  textMember(keys.lang);
  const task = textMember(keys.task);
  const id = textMember(keys.id);
  const particulars = has(nothingThere) ? nothing : readParticulars();
  if (particulars === null) return null;
  const rootId = maybeText(keys.rootId);
  const parentId = maybeText(keys.parentId);
  const argsrepr = maybeText(keys.argsrepr);
  const kwargsrepr = maybeText(keys.kwargsrepr);
  const origin = maybeText(keys.origin);
  let ignoreResult: boolean | null = null;
  if (has(keys.ignoreResult)) {
    must('t');
    ignoreResult = byte() !== 0;
  }
  const replacedTaskNesting = text.startsWith(keys.nesting, at) ? integerMember(keys.nesting) : 0;
  has(keys.stampedHeaders);
  has(keys.stamps);
  while (plain && at < tableEnd) ownHeader();
  ascii = false;
  if (!plain || at !== tableEnd || task === '' || id === '') return null;
  const deliveryMode = byte();
  const priority = byte();
  const correlationId = shortText();
  const replyTo = shortText();
  // The end of the header's frame, and the beginning of the body's.
  if (text.charCodeAt(at) !== 0xce || text.charCodeAt(at + 1) !== 3) return null;
  const bodyAt = at + 1 + before;
  // A body that begins with '{' is of protocol 1, and its headers are not all there is.
  if (!plain || text.charCodeAt(bodyAt) !== 0x5b || (deliveryMode !== 1 && deliveryMode !== 2)) return null;
  const { retries, group, groupIndex, hardTimeLimitSeconds, softTimeLimitSeconds, shadow } = particulars;
  const header: TaskHeader = {
    protocol: 2,
    task,
    id,
    retries,
    etaMs: null,
    expiresMs: null,
    group,
    groupIndex,
    rootId: rootId ?? id,
    parentId,
    hardTimeLimitSeconds,
    softTimeLimitSeconds,
    shadow,
    ignoreResult,
    origin,
    argsrepr,
    kwargsrepr,
    replacedTaskNesting,
    stampedHeaders: null,
    stamps: noStamps,
  };
  return new FramesTask({
    header,
    exchange,
    routingKey,
    priority,
    deliveryTag,
    correlationId,
    replyTo,
    envelope: typeof frames === 'string' ? null : frames,
    text,
    deliveryMode,
    tableAt,
    tableEnd,
    bodyAt,
  });
}
