/**
 * What RabbitMQ, its client library or the network say, in our own words.
 *
 * Owns: the kinds of failure, which reply code means which, and what somebody can do about each. Nobody else reads such texts.
 */
import { maskUrl } from '../std/mask-url.ts';
import { method, rawMethod } from './amqp-raw.ts';
import type { AmqpLoginMethod } from './amqp-url.ts';
import { tlsReason } from './tls-options.ts';

/**
 * What went wrong, as far as somebody can act on it:
 *  lost           no connection, or it broke before the reply     auth, vhost    until somebody changes the configuration (403, 530)
 *  config         we were told to connect with what cannot be used: a certificate that is not there
 *  channel        the channel ended; the connection is well       stopped        we ended it
 *  not-found      404: no such queue or exchange                  locked         405: exclusive to another connection
 *  differs        406: it exists with other properties            denied         403: the user may not
 *  invalid        406: an argument that RabbitMQ cannot take      reserved       403: a name that is the server's own      (no attempt will help)
 *  unconsumable   406 to a consumer: the queue is there, and cannot be consumed from like this
 *  in-use         403 to a consumer: another consumer has the queue to itself
 *  timeout        406: a delivery was held beyond the broker's consumer timeout; the channel ended
 *  global-qos     540: a quorum queue wants its prefetch per consumer; the connection ended
 *  returned       mandatory, and no queue is bound                nacked         a queue refused the message
 *  full           too much is waiting for the server already      message        this message cannot be written in AMQP
 *  protocol       anything else the server refused
 */
export type AmqpFailureKind =
  | 'lost'
  | 'auth'
  | 'vhost'
  | 'config'
  | 'channel'
  | 'stopped'
  | 'not-found'
  | 'locked'
  | 'differs'
  | 'invalid'
  | 'unconsumable'
  | 'in-use'
  | 'denied'
  | 'reserved'
  | 'timeout'
  | 'global-qos'
  | 'returned'
  | 'nacked'
  | 'full'
  | 'message'
  | 'protocol';

const tooLarge = /message size (\d+) is larger than/;

export class AmqpFailure extends Error {
  readonly kind: AmqpFailureKind;
  /** AMQP reply code, where the server gave one. */
  readonly replyCode: number | null;
  /** The server's own sentence, for those who need a part of it. */
  readonly replyText: string;
  /** It was sent and no answer came: the server may have done it all the same. */
  readonly uncertain: boolean;
  /** Size of the message that the server finds too large; null: it does not. */
  readonly messageBytes: number | null;

  constructor(
    kind: AmqpFailureKind,
    message: string,
    options: { cause?: unknown; replyCode?: number | null; replyText?: string; uncertain?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AmqpFailure';
    this.kind = kind;
    this.replyCode = options.replyCode ?? null;
    this.replyText = options.replyText ?? '';
    this.uncertain = options.uncertain ?? false;
    const [, bytes] = kind === 'message' ? (tooLarge.exec(this.replyText) ?? []) : [];
    this.messageBytes = bytes === undefined ? null : Number(bytes);
  }
}

interface Reply {
  readonly code: number | null;
  readonly text: string;
  /** What the server would not do, as `rawMethod` has it; null: it does not say. */
  readonly refused: number | null;
}

/** amqplib hangs the reply code on its errors, or writes it into the sentence: `… 403 (ACCESS-REFUSED) with message "…"`. */
function replyOf(thrown: unknown): Reply {
  if (!(thrown instanceof Error)) return { code: null, text: String(thrown), refused: null };
  const [, number, quoted] = /\b(\d{3}) \([A-Z_-]+\) with message "(.*)"/s.exec(thrown.message) ?? [];
  const code = 'code' in thrown && typeof thrown.code === 'number' ? thrown.code : number === undefined ? null : Number(number);
  const { classId, methodId } = thrown as { readonly classId?: unknown; readonly methodId?: unknown };
  const refused = typeof classId === 'number' && typeof methodId === 'number' ? method(classId, methodId) : null;
  return { code, text: quoted ?? thrown.message, refused };
}

/** Anything amqplib throws or reports about a channel or an operation on it, as ours. `where` is the server for people. */
export function toAmqpFailure(thrown: unknown, where: string): AmqpFailure {
  if (thrown instanceof AmqpFailure) return thrown;
  const reply = replyOf(thrown);
  const { code, text } = reply;
  const kind = kindOf(reply);
  const options = { cause: thrown, replyCode: code, replyText: text };
  if (code === null) {
    if (/^(Channel (ended|closed|closing)|channel closed)/.test(text))
      return new AmqpFailure('channel', `the channel ended (${where})`, options);
    return new AmqpFailure('lost', `the connection to RabbitMQ failed: ${connectionText(thrown, text)} (${where})`, options);
  }
  return new AmqpFailure(kind, `${ruleOf(kind)}: ${code} ${maskUrl(text)} (${where})`, options);
}

/** As `toAmqpFailure`, for what ends an attempt to connect. */
export function toConnectFailure(thrown: unknown, where: string, loginMethod: AmqpLoginMethod): AmqpFailure {
  if (thrown instanceof AmqpFailure) return thrown;
  const { code, text } = replyOf(thrown);
  const options = { cause: thrown, replyCode: code, replyText: text };
  if (code === 403) {
    const what = loginMethod === 'EXTERNAL' ? 'certificate of the client' : 'user and password of the URL';
    return new AmqpFailure('auth', `RabbitMQ does not accept the ${what}: 403 ${maskUrl(text)} (${where})`, options);
  }
  if (code === 530)
    return new AmqpFailure('vhost', `RabbitMQ does not let the user into the virtual host: 530 ${maskUrl(text)} (${where})`, options);
  // amqplib keeps the server's sentence to itself; RabbitMQ has this one code for all three.
  if (/Expected ConnectionOpenOk; got <ConnectionClose/.test(text)) {
    const why = 'there is none of that name, the user has no right to it, or it is down or full';
    return new AmqpFailure('vhost', `RabbitMQ does not let the user into the virtual host: 530 NOT_ALLOWED, ${why} (${where})`, {
      cause: thrown,
      replyCode: 530,
    });
  }
  if (/SASL mechanism/.test(text)) return new AmqpFailure('auth', `RabbitMQ does not offer the login method: ${text} (${where})`, options);
  if (code !== null) return new AmqpFailure('lost', `RabbitMQ refused the connection: ${code} ${maskUrl(text)} (${where})`, options);
  return new AmqpFailure('lost', `the connection to RabbitMQ failed: ${connectionText(thrown, text)} (${where})`, options);
}

function kindOf({ code, text, refused }: Reply): AmqpFailureKind {
  switch (code) {
    case 403:
      if (/contains reserved prefix/.test(text)) return 'reserved';
      return /^ACCESS_REFUSED - queue .* in exclusive use$/s.test(text) ? 'in-use' : 'denied';
    case 404:
      return 'not-found';
    case 405:
      return 'locked';
    case 406:
      if (/^PRECONDITION_FAILED - invalid /i.test(text)) return 'invalid';
      if (refused === rawMethod.basicConsume) return 'unconsumable';
      if (tooLarge.test(text)) return 'message';
      return /delivery acknowledgement on channel \d+ timed out/.test(text) ? 'timeout' : 'differs';
    case 530:
      return 'vhost';
    case 540:
      return /global qos/i.test(text) ? 'global-qos' : 'protocol';
    // The server goes down, or an operator closes the connection.
    case 320:
    case 541:
      return 'lost';
    default:
      return 'protocol';
  }
}

function ruleOf(kind: AmqpFailureKind): string {
  switch (kind) {
    case 'denied':
      return 'the RabbitMQ user of the URL lacks a right that is needed';
    case 'reserved':
      return "RabbitMQ keeps names that begin with 'amq.' for itself, so that another name is needed";
    case 'not-found':
      return 'RabbitMQ has no such thing';
    case 'locked':
      return 'the queue belongs to another connection';
    case 'differs':
      return 'it exists in RabbitMQ with other properties';
    case 'invalid':
      return 'RabbitMQ does not take the argument';
    case 'in-use':
      return 'another consumer has the queue to itself';
    case 'unconsumable':
      return 'RabbitMQ does not let the queue be consumed from like this';
    case 'timeout':
      return 'RabbitMQ closed the channel because a message was not acknowledged within its consumer timeout';
    case 'lost':
      return 'RabbitMQ closed the connection';
    case 'message':
      return 'RabbitMQ does not take messages of this size';
    default:
      return 'RabbitMQ refused';
  }
}

function connectionText(thrown: unknown, text: string): string {
  if (thrown instanceof AggregateError && text === '')
    return thrown.errors.map((error) => (error instanceof Error ? error.message : String(error))).join('; ');
  const reason = tlsReason(text);
  if (reason !== null) return `TLS: ${reason}`;
  if (text === 'Unexpected close' || text === '') return 'it was closed';
  if (text === 'Heartbeat timeout') return 'no sign of life within two heartbeats';
  return maskUrl(text);
}
