/**
 * The rest of a chain in a message of protocol 1, which has no place for one: each step is a callback of the one before it, inside one another.
 *
 * As Celery sends it. A chord is continued by its body. Pure; signatures are as parsed, and what is none is left to whoever applies it.
 */
import { isRecord } from '../std/is-record.ts';

/** `chain` as in a message of protocol 2: the next step last. Returns that step, with the others linked to it. */
export function chainAsLinks(chain: readonly unknown[]): unknown {
  let [following] = chain;
  for (const step of chain.slice(1)) following = linked(step, following);
  return following;
}

function linked(step: unknown, next: unknown): unknown {
  if (!isRecord(step)) return step;
  const { kwargs, options } = step;
  if (step.subtask_type === 'chord' && isRecord(kwargs)) return { ...step, kwargs: { ...kwargs, body: linked(kwargs.body, next) } };
  const own = isRecord(options) ? options : {};
  const links = Array.isArray(own.link) ? own.link : own.link === undefined || own.link === null ? [] : [own.link];
  return { ...step, options: { ...own, link: [...links, next] } };
}
