/**
 * What happens to a message on receipt: one pure decision per delivery.
 *
 * Owns the rules of the protocol notes (worker-behaviour.md §1, messages.md §4 and §7) as values of a closed union; carrying a
 * decision out is consumer/consumer.ts and consumer/settle.ts. Never reads a protocol-2 body.
 */
import type { Delivery } from '../broker/broker.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import { isAccepted, refusalOf } from '../protocol/serializer.ts';
import { readReceipt, type TaskHeader } from '../protocol/task-message.ts';

export type Decision =
  /** Run it as soon as a child has room. */
  | { readonly kind: 'run'; readonly header: TaskHeader; readonly offer: TaskOffer }
  /** Not due yet: back to the broker until then. */
  | { readonly kind: 'defer'; readonly header: TaskHeader; readonly offer: TaskOffer; readonly dueAtMs: number }
  /** Past its `expires`, or its id is revoked: acknowledge, store REVOKED. */
  | { readonly kind: 'expired' | 'revoked'; readonly header: TaskHeader; readonly offer: TaskOffer }
  /** No such task here: reject, store NotRegistered. */
  | { readonly kind: 'unregistered'; readonly header: TaskHeader }
  /** Not a task message at all: reject. */
  | { readonly kind: 'unknown' }
  /** A task message that breaks the protocol or has a content type that is not allowed: reject. */
  | { readonly kind: 'invalid'; readonly reason: string }
  /** The body cannot be decoded: acknowledge. */
  | { readonly kind: 'undecodable'; readonly reason: string };

export interface StrategyParams {
  readonly tasks: ReadonlyMap<string, TaskOffer>;
  readonly acceptContent: readonly string[];
  isRevoked(task: TaskHeader): boolean;
  /** What has ended children before may have to wait: until when, in Unix milliseconds. */
  notBeforeMs(delivery: Delivery, taskId: string): number;
  /** Unix milliseconds. */
  now(): number;
}

export function decide(delivery: Delivery, params: StrategyParams): Decision {
  const { plain } = delivery;
  const { contentType } = plain ?? delivery.properties;
  // Allowed or not is settled before anything is decoded: a protocol-1 message is read from its body.
  if (!isAccepted(contentType, params.acceptContent)) {
    return { kind: 'invalid', reason: refusalOf(contentType) };
  }
  if (plain !== undefined) return decideTask(plain.header, delivery, params);
  const receipt = readReceipt(delivery);
  return receipt.kind === 'task' ? decideTask(receipt.header, delivery, params) : receipt;
}

function decideTask(header: TaskHeader, delivery: Delivery, params: StrategyParams): Decision {
  const offer = params.tasks.get(header.task);
  if (offer === undefined) return { kind: 'unregistered', header };
  const reason = unwanted(header, params);
  if (reason !== null) return { kind: reason, header, offer };
  const dueAtMs = Math.max(header.etaMs ?? 0, params.notBeforeMs(delivery, header.id));
  if (dueAtMs > 0 && dueAtMs > params.now()) return { kind: 'defer', header, offer, dueAtMs };
  return { kind: 'run', header, offer };
}

/** Why a task is not to be run, or not any more; null: it is. */
export function unwanted(header: TaskHeader, params: Pick<StrategyParams, 'isRevoked' | 'now'>): 'expired' | 'revoked' | null {
  if (header.expiresMs !== null && header.expiresMs <= params.now()) return 'expired';
  return params.isRevoked(header) ? 'revoked' : null;
}
