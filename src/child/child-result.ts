/** What a task gets for what it has called: ids. Waiting for another task inside one invites deadlock, as in Celery. */
import { UmbelError } from '../errors.ts';
import type { BackendAsk } from '../ipc/exchange.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import type { AnyResult, AsyncResult, GroupResult } from '../task/async-result.ts';

/** Has the parent do it. */
export type AskBackend = (ask: BackendAsk) => Promise<unknown>;

export function childResult([[id, parentTuple], members]: ResultTuple, ask: AskBackend): AnyResult {
  const parent = parentTuple === null ? null : childResult(parentTuple, ask);
  if (members === null) return new ChildResult(id, parent);
  const results = members.map((member) => childResult(member, ask));
  return new ChildGroup(id, parent, results, ask);
}

abstract class Handle {
  readonly id: string;
  readonly parent: AnyResult | null;

  constructor(id: string, parent: AnyResult | null) {
    this.id = id;
    this.parent = parent;
  }

  abstract asTuple(): ResultTuple;

  get(): Promise<never> {
    return Promise.reject(new UmbelError('RESULT_WITHIN_TASK', 'Never call result.get() within a task!'));
  }

  ready(): Promise<never> {
    return refused('the state of another task cannot be asked for within a task');
  }

  successful(): Promise<never> {
    return this.ready();
  }

  failed(): Promise<never> {
    return this.ready();
  }

  forget(): Promise<never> {
    return refused('the result of another task cannot be deleted within a task');
  }

  toJSON(): ResultTuple {
    return this.asTuple();
  }
}

class ChildResult extends Handle implements AsyncResult<unknown> {
  state(): Promise<never> {
    return this.ready();
  }

  traceback(): Promise<never> {
    return this.ready();
  }

  children(): Promise<never> {
    return this.ready();
  }

  asTuple(): ResultTuple {
    return [[this.id, this.parent?.asTuple() ?? null], null];
  }
}

class ChildGroup extends Handle implements GroupResult<unknown> {
  readonly results: readonly AnyResult[];
  readonly #ask: AskBackend;

  constructor(id: string, parent: AnyResult | null, results: readonly AnyResult[], ask: AskBackend) {
    super(id, parent);
    this.results = results;
    this.#ask = ask;
  }

  join(): Promise<never> {
    return this.get();
  }

  waiting(): Promise<never> {
    return this.ready();
  }

  completedCount(): Promise<never> {
    return this.ready();
  }

  async save(): Promise<void> {
    await this.#ask({ ask: 'save-group', group: this.asTuple() });
  }

  async delete(): Promise<void> {
    await this.#ask({ ask: 'delete-group', group: this.asTuple() });
  }

  asTuple(): ResultTuple {
    return [[this.id, this.parent?.asTuple() ?? null], this.results.map((result) => result.asTuple())];
  }
}

function refused(why: string): Promise<never> {
  return Promise.reject(new UmbelError('RESULT_WITHIN_TASK', why));
}
