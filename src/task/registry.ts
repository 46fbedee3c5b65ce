/**
 * The tasks a worker knows, by name.
 *
 * Owns the rule that a name belongs to one function. Filled by the loader, read for every message.
 */
import { UmbelError } from '../errors.ts';
import { type BindingPlan, planBinding, shortName } from './bind-arguments.ts';
import { findOptionalParameters } from './optional-parameters.ts';
import { type Parameter, parseParameters } from './parameters.ts';
import type { ResolvedTaskOptions } from './task-options.ts';

/** The function behind a task, as JavaScript sees it. */
export type TaskFunction = (...args: never[]) => unknown;

export interface TaskDefinition {
  readonly name: string;
  /** With `options.bind` its first parameter is the context. */
  readonly fn: TaskFunction;
  readonly options: ResolvedTaskOptions;
  /** null: no source to read them from. */
  readonly parameters: readonly Parameter[] | null;
  /** For bindArguments. */
  readonly binding: BindingPlan;
  /** The task module. */
  readonly file: string;
  /** What it exports: a task, or a plain function. */
  readonly exported: TaskFunction;
}

export interface DefinitionParams {
  readonly name: string;
  readonly fn: TaskFunction;
  readonly options: ResolvedTaskOptions;
  readonly file: string;
  /** Default: `fn`. */
  readonly exported?: TaskFunction;
  /** Files the function may have been written in; asked only before an argument is reported missing. */
  readonly sources: () => readonly string[];
}

export function defineTask(params: DefinitionParams): TaskDefinition {
  const { name, fn, options, file, sources, exported = fn } = params;
  const parameters = parseParameters(fn);
  let optional: ReadonlySet<number> | undefined;
  const binding = planBinding(shortName(fn, name), parameters, options, (own) => {
    optional ??= findOptionalParameters(fn, own, sources());
    return optional;
  });
  return { name, fn, options, parameters, binding, file, exported };
}

export class TaskRegistry {
  readonly #definitions = new Map<string, TaskDefinition>();

  get(name: string): TaskDefinition | undefined {
    return this.#definitions.get(name);
  }

  /** Sorted. */
  names(): readonly string[] {
    return [...this.#definitions.keys()].sort();
  }

  /** Other options for a task, from now on. */
  change(name: string, options: Partial<ResolvedTaskOptions>): void {
    const definition = this.#definitions.get(name);
    if (definition !== undefined) this.#definitions.set(name, { ...definition, options: { ...definition.options, ...options } });
  }

  /** Throws TASK_DUPLICATE when the name belongs to another function. The same one again (a re-export) changes nothing. */
  add(definition: TaskDefinition): void {
    const existing = this.#definitions.get(definition.name);
    if (existing === undefined) {
      this.#definitions.set(definition.name, definition);
    } else if (existing.fn !== definition.fn || existing.options !== definition.options) {
      const where = existing.file === definition.file ? `twice in ${existing.file}` : `in ${existing.file} and in ${definition.file}`;
      throw new UmbelError(
        'TASK_DUPLICATE',
        `a task name must belong to one function, but ${definition.name} is exported ${where}; give one of them another name`,
      );
    }
  }
}
