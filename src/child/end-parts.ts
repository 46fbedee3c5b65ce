/** What goes in and out of one run: the arguments of its function; what its end says to the parent, and to whatever follows from it. */
import type { FinishedTask } from '../canvas/finished-task.ts';
import type { ChildSettings } from '../ipc/exchange.ts';
import { type ErrbackCall, errbackArgs, readErrbackArgs } from '../protocol/errback.ts';
import type { ExceptionDocument } from '../protocol/exception.ts';
import { encodeJson } from '../protocol/json.ts';
import type { ResultTuple } from '../protocol/result-tuple.ts';
import { repr } from '../std/safe-repr.ts';
import { origin } from './origin.ts';
import type { PreparedTask } from './run-task.ts';

/** The arguments of its message, as its function takes them. */
export function calledWith({ definition, content }: PreparedTask): readonly unknown[] {
  return definition.options.errbackStyle === 'new' ? readErrbackArgs(content.args) : content.args;
}

/** What it has called, then what followed from it. */
export function childrenOf({ trail = [] }: PreparedTask, followed: readonly ResultTuple[]): { children: string } | null {
  return trail.length + followed.length === 0 ? null : { children: JSON.stringify([...trail, ...followed]) };
}

/** `TypeError('the text')`, as Python shows an exception. */
export function errorText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return repr(thrown);
  return `${thrown.name}(${thrown.message === '' ? '' : repr(thrown.message)})`;
}

export function argumentsOf(task: PreparedTask): { args: string; kwargs: string } {
  return { args: encodeJson(task.content.args), kwargs: encodeJson(task.content.kwargs) };
}

export function sourceOf(task: PreparedTask, settings: ChildSettings): FinishedTask {
  const { header, meta } = task;
  const priority = settings.inheritParentPriority ? meta.deliveryInfo.priority : null;
  const { id, rootId, group, groupIndex, stampedHeaders, stamps } = header;
  return { id, rootId, group, groupIndex, priority, origin, stampedHeaders, stamps };
}

export function errbackCallOf(task: PreparedTask, settings: ChildSettings, resultJson: string, traceback: string | null): ErrbackCall {
  return {
    takesError: (name) => task.registry.get(name)?.options.errbackStyle === 'new',
    args: () => {
      const exception = JSON.parse(resultJson) as ExceptionDocument;
      return errbackArgs(task.header, task.content, { hostname: settings.nodeName, exception, traceback });
    },
  };
}
