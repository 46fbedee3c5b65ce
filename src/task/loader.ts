/**
 * Loads task modules and registers what they export.
 *
 * An exported function is a task named `<module>.<export>`, a default export `<module>`; `task()` objects bring options and
 * perhaps a name. Owns the rules of naming and what counts as a task; finding, importing and explaining are beside it.
 */
import { UmbelError } from '../errors.ts';
import { systemClock } from '../std/clock.ts';
import { keepCompiledCode, startCompileCache } from './compile-cache.ts';
import { importModule, LoadRecord, type ModuleExports } from './import-module.ts';
import { loadFailure } from './load-failure.ts';
import { displayPath, findModuleFiles, type ModuleFile } from './module-files.ts';
import { isClass } from './parameters.ts';
import { defineTask, type TaskFunction, TaskRegistry } from './registry.ts';
import { taskStateOf } from './task.ts';
import { defaultTaskOptions } from './task-options.ts';

export interface LoadOptions {
  /** How long one module may take, top-level await included. Default 60 s. */
  readonly timeoutMs?: number;
  /** Where compiled code is kept between runs; it must belong to this user alone. Default: nowhere. */
  readonly compileCacheFolder?: string;
  /** A module ends the process while it loads: which, and where. It ends all the same. */
  onExit?(failure: UmbelError): void;
}

/** Throws TASK_MODULE_NOT_FOUND, TASK_MODULE_BROKEN, TASK_OPTION_INVALID or TASK_DUPLICATE. */
export async function loadTaskModules(paths: readonly string[], cwd: string, options: LoadOptions = {}): Promise<TaskRegistry> {
  const registry = new TaskRegistry();
  const record = new LoadRecord();
  const cached = options.compileCacheFolder !== undefined && startCompileCache(options.compileCacheFolder);
  try {
    for (const moduleFile of findModuleFiles(paths, cwd)) {
      const exports = await loadOne(moduleFile.file, record, cwd, options);
      registerExports(registry, moduleFile, exports, record);
    }
  } finally {
    record.stop();
  }
  if (cached) keepCompiledCode();
  return registry;
}

async function loadOne(file: string, record: LoadRecord, cwd: string, options: LoadOptions): Promise<ModuleExports> {
  const { timeoutMs = 60_000 } = options;
  const pending = Promise.withResolvers<never>();
  const giveUp = (why: string): void =>
    pending.reject(new UmbelError('TASK_MODULE_BROKEN', `the task module ${displayPath(file, cwd)} did not load: ${why}`));
  // Unreferenced, so that a program with nothing left to do gets here: then the await can never settle.
  const tooLate = (): void => giveUp(`a top-level await in it has not settled within ${timeoutMs / 1000} s`);
  const timer = systemClock.setTimer(tooLate, timeoutMs, { ref: false });
  const onBeforeExit = (): void => giveUp('a top-level await in it never settles');
  process.once('beforeExit', onBeforeExit);
  // Within process.exit(): the stack leads to who called it.
  const onExit = (status: number): void =>
    options.onExit?.(loadFailure(new Error(`it ended the process with status ${status}`), file, record, cwd));
  process.once('exit', onExit);
  try {
    return await Promise.race([
      importModule(file).catch((error: unknown) => {
        throw loadFailure(error, file, record, cwd);
      }),
      pending.promise,
    ]);
  } finally {
    systemClock.clearTimer(timer);
    process.off('beforeExit', onBeforeExit);
    process.off('exit', onExit);
  }
}

function registerExports(registry: TaskRegistry, { file, module }: ModuleFile, exports: ModuleExports, record: LoadRecord): void {
  for (const [key, value] of exportedFunctions(exports)) {
    const state = taskStateOf(value);
    if (state === undefined && isClass(value)) continue;
    const name = state?.options.name ?? (key === 'default' ? module : `${module}.${key}`);
    const definition = defineTask({
      name,
      fn: state?.fn ?? value,
      options: state?.options ?? defaultTaskOptions,
      file,
      exported: value,
      sources: () => [file, ...record.files],
    });
    registry.add(definition);
    if (state !== undefined) {
      state.name ??= name;
      if (state.name === name) state.binding = definition.binding;
    }
  }
}

/**
 * ES modules export by name. CommonJS exports one value: an object of functions, or a function (the default export), which may
 * carry others. Node shows that value as 'module.exports'; the names it guesses beside it are incomplete.
 */
function exportedFunctions(exports: ModuleExports): readonly (readonly [string, TaskFunction])[] {
  const commonJs = Object.hasOwn(exports, 'module.exports') ? exports['module.exports'] : undefined;
  const entries: [string, unknown][] =
    commonJs === undefined
      ? Object.entries(exports)
      : typeof commonJs === 'object' && commonJs !== null
        ? Object.entries(commonJs)
        : typeof commonJs === 'function'
          ? [['default', commonJs], ...Object.entries(commonJs)]
          : [];
  return entries.flatMap(([key, value]) => (typeof value === 'function' ? [[key, value as TaskFunction] as const] : []));
}
