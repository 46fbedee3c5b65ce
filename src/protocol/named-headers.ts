/**
 * The headers of a task message that mean something to Celery, or to workers of ours; every other is the caller's own.
 *
 * Source: messages.md §2.2.
 */

/** Written by workers of ours on messages they publish again. Celery passes over them. */
export const ownHeaders = {
  /** How many children have died running it: a number. */
  crashes: 'umbel_crashes',
  /** It is not to be started before: Unix milliseconds. */
  notBefore: 'umbel_not_before',
  /** Why it was put aside: JSON text (broker/dead-letters.ts). */
  dead: 'umbel_dead',
  /** When its task was first found to be unknown, and when to look again: two numbers, Unix milliseconds. */
  unknown: 'umbel_unknown',
  /** Of one sending of a message of which one copy is to run: any text (consumer/once-only.ts). */
  once: 'umbel_once',
} as const;

export const namedHeaders: readonly string[] = [
  'lang',
  'task',
  'id',
  'shadow',
  'eta',
  'expires',
  'group',
  'group_index',
  'retries',
  'timelimit',
  'root_id',
  'parent_id',
  'argsrepr',
  'kwargsrepr',
  'origin',
  'ignore_result',
  'replaced_task_nesting',
  'stamped_headers',
  'stamps',
  'compression',
  'redelivered',
  ...Object.values(ownHeaders),
];
