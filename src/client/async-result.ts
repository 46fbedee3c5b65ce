/**
 * Handles on results that are kept in a result backend: of one task, and of a group of them.
 *
 * Own no state: what is asked is looked up, or waited for.
 */
import type { ResultBackend } from '../backend/backend.ts';
import { chordsAllowed } from '../backend/start-chords.ts';
import { UmbelError } from '../errors.ts';
import { RemoteTaskError } from '../protocol/remote-error.ts';
import { propagateStates, type ResultDocument, readyStates } from '../protocol/result.ts';
import { type ResultTuple, readResultTuple } from '../protocol/result-tuple.ts';
import type { AnyResult, AsyncResult, GetOptions, GroupResult } from '../task/async-result.ts';

/** Every result with its parents and members. */
export function resultOfTuple([[id, parentTuple], members]: ResultTuple, backend: ResultBackend | null): AnyResult {
  const parent = parentTuple === null ? null : resultOfTuple(parentTuple, backend);
  if (members === null) return new StoredResult(id, backend, parent);
  return new StoredGroup(
    id,
    members.map((member) => resultOfTuple(member, backend)),
    backend,
    parent,
  );
}

export class StoredResult<R> implements AsyncResult<R> {
  readonly id: string;
  readonly parent: AnyResult | null;
  readonly #backend: ResultBackend | null;

  constructor(id: string, backend: ResultBackend | null, parent: AnyResult | null = null) {
    this.id = id;
    this.parent = parent;
    this.#backend = backend;
  }

  async get(options: GetOptions & { readonly signal?: AbortSignal } = {}): Promise<R> {
    const { timeoutMs = null, signal } = options;
    const wait = { timeoutMs, ...(signal === undefined ? null : { signal }) };
    const document = timeoutMs === 0 ? await this.#now() : await required(this.#backend).wait(this.id, wait);
    if (!propagateStates.has(document.status)) return document.result as R;
    const error = new RemoteTaskError(document);
    if (options.propagate ?? true) throw error;
    return error as R;
  }

  async state(): Promise<string> {
    return (await required(this.#backend).get(this.id))?.status ?? 'PENDING';
  }

  async traceback(): Promise<string | null> {
    return (await required(this.#backend).get(this.id))?.traceback ?? null;
  }

  async ready(): Promise<boolean> {
    return readyStates.has(await this.state());
  }

  async successful(): Promise<boolean> {
    return (await this.state()) === 'SUCCESS';
  }

  async failed(): Promise<boolean> {
    return (await this.state()) === 'FAILURE';
  }

  async children(): Promise<readonly AnyResult[]> {
    const document = await required(this.#backend).get(this.id);
    const children: unknown = document?.children;
    return Array.isArray(children) ? children.map((child) => resultOfTuple(readResultTuple(child), this.#backend)) : [];
  }

  async forget(): Promise<void> {
    await required(this.#backend).forget(this.id);
  }

  asTuple(): ResultTuple {
    return [[this.id, this.parent?.asTuple() ?? null], null];
  }

  toJSON(): ResultTuple {
    return this.asTuple();
  }

  /** No time to wait is time enough to look: a server cannot answer within none. */
  async #now(): Promise<ResultDocument> {
    const document = await required(this.#backend).get(this.id);
    if (document !== null && readyStates.has(document.status)) return document;
    throw new UmbelError('RESULT_TIMEOUT', `no result of task ${this.id} within 0 s`);
  }
}

class StoredGroup<R> implements GroupResult<R> {
  readonly id: string;
  readonly results: readonly AnyResult[];
  readonly parent: AnyResult | null;
  readonly #backend: ResultBackend | null;

  constructor(id: string, results: readonly AnyResult[], backend: ResultBackend | null, parent: AnyResult | null = null) {
    this.id = id;
    this.results = results;
    this.parent = parent;
    this.#backend = backend;
  }

  get(options: GetOptions = {}): Promise<R[]> {
    return this.join(options);
  }

  async join(options: GetOptions = {}): Promise<R[]> {
    // The first that fails ends the waiting for the others.
    const end = new AbortController();
    const { signal: outer } = options as { readonly signal?: AbortSignal };
    const signal = outer === undefined ? end.signal : AbortSignal.any([outer, end.signal]);
    try {
      return (await Promise.all(this.results.map((result) => result.get({ ...options, signal } as GetOptions)))) as R[];
    } finally {
      end.abort(new UmbelError('RESULT_TIMEOUT', `the results of group ${this.id} are not waited for any more`));
    }
  }

  async ready(): Promise<boolean> {
    return (await this.#all((result) => result.ready())).every(Boolean);
  }

  async successful(): Promise<boolean> {
    return (await this.#all((result) => result.successful())).every(Boolean);
  }

  async failed(): Promise<boolean> {
    return (await this.#all((result) => result.failed())).some(Boolean);
  }

  async waiting(): Promise<boolean> {
    return !(await this.ready());
  }

  async completedCount(): Promise<number> {
    return (await this.#all((result) => result.successful())).filter(Boolean).length;
  }

  async forget(): Promise<void> {
    await this.#all((result) => result.forget());
    await this.delete();
  }

  async save(): Promise<void> {
    await chordsAllowed(required(this.#backend)).saveGroup(this.id, this.asTuple());
  }

  async delete(): Promise<void> {
    await chordsAllowed(required(this.#backend)).deleteGroup(this.id);
  }

  asTuple(): ResultTuple {
    return [[this.id, this.parent?.asTuple() ?? null], this.results.map((result) => result.asTuple())];
  }

  toJSON(): ResultTuple {
    return this.asTuple();
  }

  #all<T>(ask: (result: AnyResult) => Promise<T>): Promise<T[]> {
    return Promise.all(this.results.map(ask));
  }
}

function required(backend: ResultBackend | null): ResultBackend {
  if (backend === null) throw new UmbelError('BACKEND_DISABLED', 'results are disabled: set result.backend');
  return backend;
}
