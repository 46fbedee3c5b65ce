/**
 * From what `-A` and `worker.tasks` name to task module files and their module names.
 *
 * A file's module name is its base name; below a folder it is the path from the folder's own name, with dots for slashes.
 * Reads folders only; loads nothing.
 */
import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';

export interface ModuleFile {
  readonly file: string;
  readonly module: string;
}

/** In the order a name without extension is tried. */
const extensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'] as const;
const modulePattern = /^(.+)\.[mc]?[tj]s$/;
/** In a folder; a file named explicitly is taken as it is. */
const skippedPattern = /^\.|\.d\.[mc]?ts$|\.test\.[mc]?[tj]s$/;

/** In the order given, folders sorted. Throws TASK_MODULE_NOT_FOUND. */
export function findModuleFiles(paths: readonly string[], cwd: string): readonly ModuleFile[] {
  const found = new Map<string, ModuleFile>();
  for (const path of paths) {
    for (const file of filesOf(path, cwd)) found.set(`${file.module}\0${file.file}`, file);
  }
  return [...found.values()];
}

/** Relative to the working folder where that is shorter to read; not to the root, where it would look like another path. */
export function displayPath(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return short === '' || short.startsWith('..') || cwd === '/' ? file : short;
}

function filesOf(path: string, cwd: string): readonly ModuleFile[] {
  const absolute = resolve(cwd, path);
  const kind = kindOf(absolute);
  if (kind === 'folder') {
    const files = walk(absolute, basename(absolute), new Set());
    if (files.length === 0)
      throw new UmbelError('TASK_MODULE_NOT_FOUND', `the folder ${absolute} has no task modules (${extensions.join(' ')})`);
    return files;
  }
  const file = kind === 'file' ? absolute : extensions.map((extension) => absolute + extension).find((name) => kindOf(name) === 'file');
  if (file === undefined) {
    const tried = modulePattern.test(absolute) ? '' : `, with or without ${extensions.join(' ')}`;
    throw new UmbelError('TASK_MODULE_NOT_FOUND', `the task module ${JSON.stringify(path)} does not exist: looked for ${absolute}${tried}`);
  }
  const module = modulePattern.exec(basename(file))?.[1];
  if (module === undefined || /\.d\.[mc]?ts$/.test(file)) {
    throw new UmbelError('TASK_MODULE_NOT_FOUND', `a task module must be a ${extensions.join(', ')} file or a folder of them, got ${file}`);
  }
  return [{ file, module }];
}

function kindOf(path: string): 'file' | 'folder' | 'absent' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
    throw new UmbelError('TASK_MODULE_NOT_FOUND', `the task module ${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** `seen` holds the real paths above this one: a link back up ends there. */
function walk(folder: string, module: string, seen: ReadonlySet<string>): readonly ModuleFile[] {
  const real = realpathSync(folder);
  if (seen.has(real)) return [];
  const above = new Set(seen).add(real);
  const found: ModuleFile[] = [];
  for (const entry of entriesOf(folder)) {
    if (entry.name === 'node_modules' || skippedPattern.test(entry.name)) continue;
    const path = join(folder, entry.name);
    const kind = entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : kindOf(path);
    const name = kind === 'file' ? modulePattern.exec(entry.name)?.[1] : entry.name;
    if (name === undefined) continue;
    const full = module === '' ? name : `${module}.${name}`;
    if (kind === 'folder') found.push(...walk(path, full, above));
    else if (kind === 'file') found.push({ file: path, module: name === 'index' && module !== '' ? module : full });
  }
  return found;
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new UmbelError('TASK_MODULE_NOT_FOUND', `the folder ${folder} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
