/**
 * From the args and kwargs of a message to the arguments of a JavaScript function.
 *
 * Positional arguments first, then keywords by parameter name, then what is left goes to a trailing object parameter. What
 * does not fit is a TypeError with Python's words. Everything that depends on the function alone is worked out once, in
 * `planBinding`; without keyword arguments binding is a comparison of lengths.
 */
import type { Kwargs } from './call-options.ts';
import type { Parameter } from './parameters.ts';

/** What is known of a function's parameters, worked out once. */
export interface BindingPlan {
  /** For messages: what Python would call the function. */
  readonly functionName: string;
  readonly typing: boolean;
  /** Without the context parameter; null: unknown (no source). */
  readonly parameters: readonly Parameter[] | null;
  readonly indexByName: ReadonlyMap<string, number>;
  /** Indices that must be given. */
  readonly required: readonly number[];
  /** With this many positional arguments or more nothing is missing. */
  readonly enough: number;
  /** Most positional arguments. */
  readonly most: number;
  /** Index of the parameter that takes leftover keywords; -1 when there is none. */
  readonly collector: number;
  /** It has no default, so it is given an empty object when there are no leftovers. */
  readonly collectorNeedsObject: boolean;
  /** Indices TypeScript marks as optional (`y?: number`); asked only before something is reported missing. */
  readonly optionalIndices: OptionalIndices;
}

export type OptionalIndices = (parameters: readonly Parameter[]) => ReadonlySet<number>;

/** What Python would call the function in an error: its own name, or the last part of the task's. */
export function shortName(fn: { readonly name: string }, taskName: string): string {
  return fn.name === '' || fn.name === 'default' ? taskName.slice(taskName.lastIndexOf('.') + 1) : fn.name;
}

export function planBinding(
  functionName: string,
  parameters: readonly Parameter[] | null,
  options: { readonly bind: boolean; readonly typing: boolean },
  optionalIndices: OptionalIndices,
): BindingPlan {
  const own = parameters === null ? null : options.bind ? parameters.slice(1) : parameters;
  const list = own ?? [];
  const last = list.at(-1);
  const collects =
    last !== undefined && (last.kind === 'object' || (last.kind === 'name' && (last.defaultIsEmptyObject || last.name === 'kwargs')));
  const collector = collects ? list.length - 1 : -1;
  const required = list.flatMap((parameter, index) =>
    parameter.hasDefault || parameter.kind === 'rest' || index === collector ? [] : [index],
  );
  return {
    functionName,
    typing: options.typing,
    parameters: own,
    indexByName: new Map(list.flatMap((p, index) => (p.kind === 'name' && p.name !== null ? [[p.name, index] as const] : []))),
    required,
    enough: (required.at(-1) ?? -1) + 1,
    most: own === null || last?.kind === 'rest' ? Number.POSITIVE_INFINITY : list.length,
    collector,
    collectorNeedsObject: collects && !last.hasDefault,
    optionalIndices,
  };
}

/** The arguments to call the function with (the context parameter, if any, not among them). Throws TypeError. May return `args` itself. */
export function bindArguments(plan: BindingPlan, args: readonly unknown[], kwargs: Kwargs): readonly unknown[] {
  for (const _ in kwargs) return bindKeywords(plan, args, kwargs);
  const count = args.length;
  if (plan.typing) {
    if (count > plan.most) throw tooMany(plan, count);
    if (count < plan.enough) refuseMissing(plan, (index) => index < count);
  }
  if (plan.collectorNeedsObject && count <= plan.collector) {
    const bound = args.slice();
    while (bound.length < plan.collector) bound.push(undefined);
    bound.push({});
    return bound;
  }
  return args;
}

function bindKeywords(plan: BindingPlan, args: readonly unknown[], kwargs: Kwargs): readonly unknown[] {
  const { parameters, collector, typing } = plan;
  if (parameters === null) {
    if (typing) throw new TypeError(`${plan.functionName}() takes no keyword arguments`);
    return args;
  }
  const bound = args.slice();
  const given = new Set<number>();
  const leftovers: [string, unknown][] = [];
  for (const [key, value] of Object.entries(kwargs)) {
    const index = plan.indexByName.get(key);
    if (index === undefined) {
      leftovers.push([key, value]);
    } else if (index < args.length) {
      if (typing) throw new TypeError(`${plan.functionName}() got multiple values for argument '${key}'`);
    } else {
      while (bound.length < index) bound.push(undefined);
      bound[index] = value;
      given.add(index);
    }
  }
  collect(plan, bound, leftovers, collector !== -1 && (collector < args.length || given.has(collector)));
  if (typing) {
    if (args.length > plan.most) throw tooMany(plan, args.length);
    refuseMissing(plan, (index) => index < args.length || given.has(index));
  }
  return bound;
}

/** Put the leftover keywords into the trailing object, unless it was given a value of its own. */
function collect(plan: BindingPlan, bound: unknown[], leftovers: readonly [string, unknown][], taken: boolean): void {
  const { collector } = plan;
  const parameter = plan.parameters?.[collector];
  const closedKeys = parameter === undefined || taken ? [] : parameter.keys !== null && !parameter.takesAnyKey ? parameter.keys : null;
  const stranger = closedKeys === null ? undefined : leftovers.find(([key]) => !closedKeys.includes(key));
  if (stranger !== undefined && plan.typing) {
    throw new TypeError(`${plan.functionName}() got an unexpected keyword argument '${stranger[0]}'`);
  }
  if (parameter === undefined || taken || (leftovers.length === 0 && !plan.collectorNeedsObject)) return;
  while (bound.length < collector) bound.push(undefined);
  // fromEntries defines own properties, so a key '__proto__' stays harmless.
  bound[collector] = Object.fromEntries(leftovers);
}

function tooMany(plan: BindingPlan, count: number): TypeError {
  const from = plan.required.length;
  const takes = from === plan.most ? `${from}` : `from ${from} to ${plan.most}`;
  const were = count === 1 ? 'was' : 'were';
  return new TypeError(
    `${plan.functionName}() takes ${takes} positional argument${plan.most === 1 && from === 1 ? '' : 's'} but ${count} ${were} given`,
  );
}

function refuseMissing(plan: BindingPlan, isGiven: (index: number) => boolean): void {
  let missing = plan.required.filter((index) => !isGiven(index));
  if (missing.length === 0) return;
  const optional = plan.optionalIndices(plan.parameters ?? []);
  missing = missing.filter((index) => !optional.has(index));
  if (missing.length === 0) return;
  const labels = missing.map((index) => `'${plan.parameters?.[index]?.label ?? index}'`);
  const last = labels.at(-1);
  const text =
    labels.length === 1 ? last : labels.length === 2 ? `${labels[0]} and ${last}` : `${labels.slice(0, -1).join(', ')}, and ${last}`;
  throw new TypeError(
    `${plan.functionName}() missing ${labels.length} required positional argument${labels.length === 1 ? '' : 's'}: ${text}`,
  );
}
