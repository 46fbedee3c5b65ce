/**
 * A task message in the plain form that nearly all have, read from its envelope without parsing all of it.
 *
 * Plain is what Celery and umbel write for an ordinary task: the usual keys in the usual order, no due time, no expiry, no compression, no
 * mark of redelivery. What such an envelope means is found here in a quarter of the time, and is exactly what decodeEnvelope and
 * readReceipt find; every other envelope is left to them. Headers and body are parsed when somebody asks for them.
 */
import type { Message, MessageProperties } from './message.ts';
import { namedHeaders } from './named-headers.ts';
import { readContent, type TaskContent, type TaskHeader } from './task-message.ts';
import { decodeEnvelope } from './virtual-envelope.ts';

/** Longer ones gain nothing: there the native parser is faster. */
const longestText = 16_384;

/** Of a JSON string without escapes. */
const text = '[^"\\\\\\u0000-\\u001f]*';
const escaped = `${text}(?:\\\\(?:["\\\\/bfnrt]|u[0-9a-fA-F]{4})${text})*`;
const integer = '(?:0|[1-9]\\d{0,8})';
const number = `${integer}(?:\\.\\d{1,6})?`;
const string = (content: string): string => `(?:null|"(${content})")`;
const member = (name: string, value: string): string => `"${name}": ?${value}`;
const list = (...members: readonly string[]): string => members.join(', ?');
const maybe = (name: string, value: string): string => `(?:, ?${member(name, value)})?`;

/** A header of the caller's own. One that comes twice, or has a meaning, is not plain. */
const ownHeader = `, ?"(?!(?:${namedHeaders.join('|')})")${text}": ?(?:null|true|false|${integer}|"${text}")`;

const headers =
  list(
    member('lang', `"${text}"`),
    member('task', `"(${text})"`),
    member('id', `"(${text})"`),
    member('shadow', string(text)),
    member('eta', 'null'),
    member('expires', 'null'),
    member('group', string(text)),
    member('group_index', `(?:null|(${integer}))`),
    member('retries', `(${integer})`),
    member('timelimit', `\\[(?:null|(${number})), ?(?:null|(${number}))\\]`),
    member('root_id', string(text)),
    member('parent_id', string(text)),
    member('argsrepr', string(escaped)),
    member('kwargsrepr', string(escaped)),
    member('origin', string(text)),
  ) +
  maybe('ignore_result', '(true|false)') +
  maybe('replaced_task_nesting', `(${integer})`) +
  maybe('stamped_headers', 'null') +
  maybe('stamps', '\\{\\}') +
  `(?:${ownHeader})*`;

const properties = list(
  member('correlation_id', `"(${text})"`),
  member('reply_to', `"(${text})"`),
  member('delivery_mode', '([12])'),
  member('delivery_info', `\\{${list(member('exchange', `"(${text})"`), member('routing_key', `"(${text})"`))}\\}`),
  member('priority', '(0|[1-9]\\d{0,2})'),
  member('body_encoding', '"base64"'),
  member('delivery_tag', `"${text}"`),
);

// The body begins with '[': one that begins with '{' is of protocol 1, and its headers are not all there is.
const plainForm = new RegExp(
  `^\\{${list(
    member('body', '"(W[w-z0-9+/][A-Za-z0-9+/]*={0,2})"'),
    member('content-encoding', '"utf-8"'),
    member('content-type', '"application/json"'),
    member('headers', `\\{${headers}\\}`),
    member('properties', `\\{${properties}\\}`),
  )}\\}$`,
);

export const noStamps: TaskHeader['stamps'] = Object.freeze({});

/** What such a message says. Headers, properties and body are read when somebody asks for them. */
export interface PlainTask extends Message {
  /** The message as it came: text of kombu's JSON, or the bytes of AMQP's frames. */
  readonly envelope: string | Buffer;
  readonly header: TaskHeader;
  readonly contentType: string;
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number;
  /** Of the body: no header says how it is written. Throws as `readContent`. */
  content(): TaskContent;
}

class EnvelopeTask implements PlainTask {
  readonly envelope: string;
  readonly header: TaskHeader;
  readonly contentType = 'application/json';
  readonly exchange: string;
  readonly routingKey: string;
  readonly priority: number;
  readonly #base64: string;
  readonly #correlationId: string;
  readonly #replyTo: string;
  readonly #deliveryMode: 1 | 2;
  #headers: Message['headers'] = null;

  constructor(envelope: string, found: RegExpExecArray) {
    const id = found[3] as string;
    this.envelope = envelope;
    this.#base64 = found[1] as string;
    this.header = {
      protocol: 2,
      task: found[2] as string,
      id,
      retries: Number(found[7]),
      etaMs: null,
      expiresMs: null,
      group: found[5] ?? null,
      groupIndex: numberOf(found[6]),
      rootId: found[10] ?? id,
      parentId: found[11] ?? null,
      hardTimeLimitSeconds: numberOf(found[8]),
      softTimeLimitSeconds: numberOf(found[9]),
      shadow: found[4] ?? null,
      ignoreResult: found[15] === undefined ? null : found[15] === 'true',
      origin: found[14] ?? null,
      argsrepr: unescaped(found[12]),
      kwargsrepr: unescaped(found[13]),
      replacedTaskNesting: numberOf(found[16]) ?? 0,
      stampedHeaders: null,
      stamps: noStamps,
    };
    this.#correlationId = found[17] as string;
    this.#replyTo = found[18] as string;
    this.#deliveryMode = found[19] === '1' ? 1 : 2;
    this.exchange = found[20] as string;
    this.routingKey = found[21] as string;
    this.priority = Number(found[22]);
  }

  get properties(): MessageProperties {
    return {
      contentType: this.contentType,
      contentEncoding: 'utf-8',
      correlationId: this.#correlationId,
      replyTo: this.#replyTo,
      deliveryMode: this.#deliveryMode,
      priority: this.priority,
    };
  }

  get correlationId(): string {
    return this.#correlationId;
  }

  get replyTo(): string {
    return this.#replyTo;
  }

  get headers(): Message['headers'] {
    this.#headers ??= decodeEnvelope(this.envelope).message.headers;
    return this.#headers;
  }

  get body(): Buffer {
    return Buffer.from(this.#base64, 'base64');
  }

  content(): TaskContent {
    return readContent({ properties: this.properties, headers: null, body: this.body }, 2);
  }
}

/** null: not of the plain form. */
export function readPlainTask(envelope: string): EnvelopeTask | null {
  if (envelope.length > longestText) return null;
  const found = plainForm.exec(envelope);
  // Without a name or an id it is a bad message: that is said elsewhere.
  return found === null || found[2] === '' || found[3] === '' ? null : new EnvelopeTask(envelope, found);
}

function numberOf(digits: string | undefined): number | null {
  return digits === undefined ? null : Number(digits);
}

function unescaped(content: string | undefined): string | null {
  if (content === undefined) return null;
  return content.includes('\\') ? (JSON.parse(`"${content}"`) as string) : content;
}
