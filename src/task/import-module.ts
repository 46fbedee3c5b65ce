/**
 * Importing a user's module from anywhere: from source, from a bundle, from inside the single executable.
 *
 * In the executable the embedded script has no `import()` of files; Node's default loader, reached through vm, has, and loads
 * ESM, CommonJS, TypeScript and top-level await alike. Also records which files a load touched and which specifier could not
 * be resolved, for messages.
 */
import { registerHooks } from 'node:module';
import { isSea } from 'node:sea';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';

export type ModuleExports = Readonly<Record<string, unknown>>;
type Importer = (url: string) => Promise<ModuleExports>;

let viaVm: Importer | undefined;

/** Node's own loader. Exported for the test; `importModule` chooses it inside the executable. */
export function importViaVm(file: string): Promise<ModuleExports> {
  viaVm ??= new vm.Script('(url) => import(url)', {
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext() as Importer;
  return viaVm(pathToFileURL(file).href);
}

export function importModule(file: string): Promise<ModuleExports> {
  return isSea() ? importViaVm(file) : import(pathToFileURL(file).href);
}

export interface Unresolved {
  readonly specifier: string;
  readonly importer: string;
}

/** What happened while it was recording. */
export class LoadRecord {
  /** Files in the order they were loaded. */
  readonly files: string[] = [];
  readonly #unresolved = new WeakMap<object, Unresolved>();
  readonly #hooks = registerHooks({
    resolve: (specifier, context, nextResolve) => {
      try {
        return nextResolve(specifier, context);
      } catch (error) {
        const importer = toPath(context.parentURL);
        if (importer !== null && typeof error === 'object' && error !== null) this.#unresolved.set(error, { specifier, importer });
        throw error;
      }
    },
    load: (url, context, nextLoad) => {
      const path = toPath(url);
      if (path !== null) this.files.push(path);
      return nextLoad(url, context);
    },
  });

  /** The specifier this error is about, when it is about one. */
  unresolved(error: unknown): Unresolved | undefined {
    return typeof error === 'object' && error !== null ? this.#unresolved.get(error) : undefined;
  }

  stop(): void {
    this.#hooks.deregister();
  }
}

function toPath(url: string | undefined): string | null {
  if (url?.startsWith('file:') !== true) return null;
  const plain = new URL(url);
  plain.search = '';
  plain.hash = '';
  return fileURLToPath(plain);
}
