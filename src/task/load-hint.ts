/**
 * What a task author can do about a module that does not load: one sentence behind the message, where Node's own words do not say it.
 *
 * Looks for neighbouring files; never loads one.
 */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Unresolved } from './import-module.ts';

const hintOfCode: Readonly<Record<string, string>> = {
  ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX:
    'Types are removed and the rest runs as it is, so TypeScript that stands for code (enum, namespace, parameter properties, import =) ' +
    'cannot be used in a task module: write an object with `as const` for an enum and assign fields in the constructor',
  ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING: 'Packages in node_modules must be published as JavaScript',
  ERR_REQUIRE_ASYNC_MODULE: 'A module with top-level await must be imported, not required',
  ERR_IMPORT_ATTRIBUTE_MISSING: "Write `with { type: 'json' }` behind the path",
};

const jsxHint = 'JSX is not removed as types are: compile such a file to JavaScript first';

export interface FailedAt {
  readonly file: string;
  /** The source line, from the place on. */
  readonly text: string;
}

export function loadHint(error: Error, unresolved: Unresolved | undefined, at: FailedAt | undefined): string | undefined {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') return /\.[jt]sx"/.test(error.message) ? jsxHint : undefined;
  if (unresolved !== undefined) {
    const { specifier } = unresolved;
    if (/^[@~]\//.test(specifier)) {
      return '`paths` of a tsconfig.json are not followed: use a relative path, or a name that begins with # from `imports` of package.json';
    }
    const meant = fileMeant(unresolved);
    if (meant !== undefined) return `Imports name files as they are, with the extension: '${meant}'`;
  }
  if (error instanceof SyntaxError && at !== undefined) {
    const name = /does not provide an export named '(\w+)'/.exec(error.message)?.[1];
    if (name !== undefined && name !== 'default' && /\.[mc]?ts$/.test(at.file))
      return `If ${name} is a type, import it as one: \`import type { ${name} }\``;
    if (at.text.startsWith('@')) return 'Decorators are not run: compile such a file to JavaScript first';
  }
  if (error instanceof ReferenceError && /^__(?:dir|file)name is not defined/.test(error.message)) {
    return 'An ES module has `import.meta.dirname` and `import.meta.filename`';
  }
  return hintOfCode[code];
}

/** `./mail` and `./mail.js` where there is a mail.ts, `./jobs` where there is a jobs/index.ts. */
function fileMeant({ specifier, importer }: Unresolved): string | undefined {
  if (!/^\.\.?\//.test(specifier)) return undefined;
  const bare = specifier.replace(/\/$/, '');
  const extensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];
  const candidates = [
    ...(/\.[mc]?js$/.test(bare) ? [bare.replace(/js$/, 'ts')] : []),
    ...extensions.map((extension) => bare + extension),
    ...extensions.map((extension) => `${bare}/index${extension}`),
  ];
  return candidates.find((candidate) => existsSync(resolve(dirname(importer), candidate)));
}
