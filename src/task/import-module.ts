/**
 * Importing a user's module from anywhere: from source, from a bundle, from inside the single executable.
 *
 * In the executable the embedded script has no `import()` of files; Node's default loader, reached through vm, has, and loads
 * ESM, CommonJS, TypeScript and top-level await alike. Also records which files a load touched and which specifier could not
 * be resolved or loaded, for messages.
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
    // A module that nobody imports is the program: its import.meta.main would be true, and what it does then is no worker's business.
    filename: 'umbel:loader',
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
  /** By the error that named it. */
  readonly #unresolved = new WeakMap<object, Unresolved>();
  /** By URL: who imported it first. */
  readonly #importers = new Map<string, Unresolved>();
  readonly #hooks = registerHooks({
    resolve: (specifier, context, nextResolve) => {
      const importer = toPath(context.parentURL);
      const request = importer === null ? undefined : { specifier, importer };
      try {
        const found = nextResolve(specifier, context);
        if (request !== undefined && !this.#importers.has(found.url)) this.#importers.set(found.url, request);
        return found;
      } catch (error) {
        this.#blame(error, request);
        throw error;
      }
    },
    load: (url, context, nextLoad) => {
      const path = toPath(url);
      if (path !== null) this.files.push(path);
      try {
        return nextLoad(url, context);
      } catch (error) {
        this.#blame(error, this.#importers.get(url));
        throw error;
      }
    },
  });

  /** The specifier this error is about, when it is about one. */
  unresolved(error: unknown): Unresolved | undefined {
    return typeof error === 'object' && error !== null ? this.#unresolved.get(error) : undefined;
  }

  #blame(error: unknown, request: Unresolved | undefined): void {
    if (request !== undefined && typeof error === 'object' && error !== null) this.#unresolved.set(error, request);
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
