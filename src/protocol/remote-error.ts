/**
 * The error a failed task's result rejects with: what the worker stored, with the names it stored.
 *
 * Nothing is loaded or called by the names in a result document; they are text.
 */

import { repr } from '../std/safe-repr.ts';
import type { ResultDocument } from './result.ts';

export class RemoteTaskError extends Error {
  readonly taskId: string;
  /** FAILURE or REVOKED. */
  readonly state: string;
  /** `exc_type` of the document, e.g. ValueError. */
  readonly remoteName: string;
  readonly remoteModule: string | null;
  readonly remoteArguments: readonly unknown[];
  readonly remoteTraceback: string | null;

  constructor(document: ResultDocument) {
    const { name, module, args } = readException(document.result);
    super(args.length === 0 ? name : args.map((argument) => (typeof argument === 'string' ? argument : repr(argument))).join(', '));
    this.name = name;
    this.taskId = document.task_id;
    this.state = document.status;
    this.remoteName = name;
    this.remoteModule = module;
    this.remoteArguments = args;
    this.remoteTraceback = document.traceback;
  }
}

function readException(value: unknown): { name: string; module: string | null; args: readonly unknown[] } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { name: 'Error', module: null, args: value === null ? [] : [value] };
  const { exc_type: type, exc_module: module, exc_message: message } = value as Record<string, unknown>;
  return {
    name: typeof type === 'string' ? type : 'Error',
    module: typeof module === 'string' ? module : null,
    args: Array.isArray(message) ? message : message === undefined || message === null ? [] : [message],
  };
}
