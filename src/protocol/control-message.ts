/**
 * Messages of remote control (kombu's pidbox): a request to all nodes, and the reply of each.
 *
 * Owns names, fields and their order on the wire. Never decides who answers what.
 * Source: protocol notes, amqp.md §5 and control.md §1; vectors control-*.json.
 */
import { UmbelError } from '../errors.ts';
import { isRecord } from '../std/is-record.ts';
import type { Message } from './message.ts';
import { decodeContent, encodeContent, isAccepted, refusalOf } from './serializer.ts';

export type Matcher = 'glob' | 'pcre';

export interface ReplyAddress {
  readonly exchange: string;
  readonly routingKey: string;
}

export interface ControlRequest {
  readonly method: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** Node names; null: all that the pattern lets through. */
  readonly destination: readonly string[] | null;
  readonly pattern: string | null;
  readonly matcher: Matcher | null;
  /** null: no reply is wanted. */
  readonly ticket: string | null;
  readonly replyTo: ReplyAddress | null;
}

export interface ControlReply {
  readonly nodeName: string;
  readonly value: unknown;
  readonly ticket: string | null;
  readonly clock: unknown;
}

/** Exchange on which requests go out, for the setting `control_exchange`. */
export function requestExchange(namespace: string): string {
  return `${namespace}.pidbox`;
}

/** Exchange over which replies come back. */
export function replyExchange(namespace: string): string {
  return `reply.${namespace}.pidbox`;
}

/** The queue of one node. */
export function nodeQueue(nodeName: string, namespace: string): string {
  return `${nodeName}.${namespace}.pidbox`;
}

/** The queue in which a caller waits for replies; `oid` names the caller. */
export function replyQueue(oid: string, namespace: string): string {
  return `${oid}.reply.${namespace}.pidbox`;
}

function decode(message: Message, accept: readonly string[]): unknown {
  const { contentType, contentEncoding } = message.properties;
  if (!isAccepted(contentType, accept)) throw new UmbelError('CONTENT_DISALLOWED', refusalOf(contentType));
  return decodeContent(message.body, contentType, contentEncoding);
}

/** Throws CONTENT_DISALLOWED, MESSAGE_UNDECODABLE, NOT_SUPPORTED or MESSAGE_INVALID. */
export function readRequest(message: Message, accept: readonly string[]): ControlRequest {
  const body = decode(message, accept);
  if (!isRecord(body) || typeof body.method !== 'string')
    throw new UmbelError('MESSAGE_INVALID', 'a control request must be an object with a method, got none');
  const { method, arguments: args, destination, pattern, matcher, ticket, reply_to: replyTo } = body;
  return {
    method,
    arguments: isRecord(args) ? args : {},
    // One name alone is what a careless caller sends.
    destination: typeof destination === 'string' ? [destination] : Array.isArray(destination) ? destination.map(String) : null,
    pattern: typeof pattern === 'string' && pattern !== '' ? pattern : null,
    matcher: matcher === 'glob' || matcher === 'pcre' ? matcher : null,
    ticket: typeof ticket === 'string' ? ticket : null,
    replyTo: readAddress(replyTo),
  };
}

function readAddress(value: unknown): ReplyAddress | null {
  if (!isRecord(value) || typeof value.exchange !== 'string' || typeof value.routing_key !== 'string') return null;
  return { exchange: value.exchange, routingKey: value.routing_key };
}

/** `expiresAtSeconds`: until when the caller waits (unix); 0: it does not. */
export function encodeRequest(request: ControlRequest, clock: number, expiresAtSeconds: number): Message {
  const { method, arguments: args, destination, pattern, matcher, ticket, replyTo } = request;
  const reply = replyTo === null ? {} : { ticket, reply_to: { exchange: replyTo.exchange, routing_key: replyTo.routingKey } };
  return messageOf({ method, arguments: args, destination, pattern, matcher, ...reply }, { clock, expires: expiresAtSeconds }, 2);
}

/** Throws TypeError when the value cannot be written as JSON. */
export function encodeReply(nodeName: string, value: unknown, ticket: string | null, clock: number): Message {
  return messageOf({ [nodeName]: value ?? null }, { ticket, clock }, 1);
}

function messageOf(content: unknown, headers: Readonly<Record<string, unknown>>, deliveryMode: 1 | 2): Message {
  const { body, contentType, contentEncoding } = encodeContent(content, 'json');
  return { properties: { contentType, contentEncoding, deliveryMode, priority: 0 }, headers, body };
}

/** One for each node in it: usually one. Throws as `readRequest`. */
export function readReplies(message: Message, accept: readonly string[]): ControlReply[] {
  const body = decode(message, accept);
  if (!isRecord(body)) throw new UmbelError('MESSAGE_INVALID', 'a control reply must be an object, got none');
  const ticket = message.headers?.ticket;
  return Object.entries(body).map(([nodeName, value]) => ({
    nodeName,
    value,
    ticket: typeof ticket === 'string' ? ticket : null,
    clock: message.headers?.clock,
  }));
}

/** Is this node one of those a request is for? A pattern that is no regular expression matches nobody. */
export function isAddressed(nodeName: string, { destination, pattern, matcher }: ControlRequest): boolean {
  if (destination !== null && destination.length > 0) return destination.includes(nodeName);
  if (pattern === null || matcher === null) return true;
  try {
    return (matcher === 'glob' ? globPattern(pattern) : new RegExp(`^(?:${pattern})`)).test(nodeName);
  } catch {
    return false;
  }
}

/** As a shell matches file names, over all of the text: `*`, `?`, `[seq]`, `[!seq]`. */
export function globPattern(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at++) {
    const character = glob.charAt(at);
    if (character === '*') source += '.*';
    else if (character === '?') source += '.';
    else if (character === '[') {
      const end = glob.indexOf(']', glob.charAt(at + 1) === '!' ? at + 3 : at + 2);
      if (end === -1) source += '\\[';
      else {
        const inside = glob
          .slice(at + 1, end)
          .replaceAll('\\', '\\\\')
          .replace(/[[\]]/g, '\\$&');
        source += `[${inside.startsWith('!') ? `^${inside.slice(1)}` : inside.replace(/^\^/, '\\^')}]`;
        at = end;
      }
    } else source += character.replace(/[\\^$.|+(){}]/, '\\$&');
  }
  return new RegExp(`^${source}$`, 's');
}
