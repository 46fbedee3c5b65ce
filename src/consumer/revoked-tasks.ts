/**
 * Whether a task is revoked: by its id, or by one of its stamps.
 *
 * Owns the comparison of stamps: a value that is no list counts as a list of one, and one that both have is enough. What is revoked is
 * kept by statedb/state-db.ts; what is done about it is consumer/revokes.ts.
 */
import type { TaskHeader } from '../protocol/task-message.ts';
import type { Stamp, StateDb } from '../statedb/state-db.ts';
import { repr } from '../std/safe-repr.ts';

type StampedTask = Pick<TaskHeader, 'id' | 'stampedHeaders' | 'stamps'>;

export class RevokedTasks {
  readonly #state: Pick<StateDb, 'isRevoked' | 'isStampRevoked' | 'hasRevokedStamps' | 'revoke'>;

  constructor(state: Pick<StateDb, 'isRevoked' | 'isStampRevoked' | 'hasRevokedStamps' | 'revoke'>) {
    this.#state = state;
  }

  /** Asked for every message. */
  has(task: StampedTask): boolean {
    return this.#state.isRevoked(task.id) || this.#stampOf(task) !== undefined;
  }

  add(taskId: string): void {
    this.#state.revoke([taskId]);
  }

  /** By which stamp, as Celery's log has it; '' when it is revoked by its id. */
  reason(task: StampedTask): string {
    if (this.#state.isRevoked(task.id)) return '';
    const stamp = this.#stampOf(task);
    return stamp === undefined ? '' : ` (revoked by header: ${repr({ [stamp[0]]: JSON.parse(stamp[1]) })})`;
  }

  #stampOf(task: StampedTask): Stamp | undefined {
    if (task.stampedHeaders === null || !this.#state.hasRevokedStamps) return undefined;
    return stampsOf(task).find((stamp) => this.#state.isStampRevoked(stamp));
  }
}

/** Every value of every stamp of a task. */
export function stampsOf({ stampedHeaders, stamps }: StampedTask): Stamp[] {
  return (stampedHeaders ?? []).flatMap((name) => (Object.hasOwn(stamps, name) ? valuesOf(name, stamps[name]) : []));
}

export function valuesOf(name: string, value: unknown): Stamp[] {
  if (value === null || value === undefined) return [];
  return (Array.isArray(value) ? value : [value]).map((one): Stamp => [name, stampValue(one)]);
}

/** The order of members of an object says nothing. JSON has no integers that are too large for a number. */
function stampValue(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return String(part);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
