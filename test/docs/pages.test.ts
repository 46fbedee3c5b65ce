/** All pages: links lead somewhere, files that are named exist, the list of events is that of the sources, and nothing unknown is advised. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import t from 'tap';
import { dottedName } from '../../src/config/setting.ts';
import { settingNames } from '../../src/config/settings-table.ts';
import { catalogue } from '../../src/errors.ts';

const root = resolve(import.meta.dirname, '../..');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'examples/README.md', ...globSync('docs/*.md', { cwd: root })];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
/** Without blocks of code, in which nothing is a link or a heading. */
const prose = (page: string): string => read(page).replace(/^ *```.*?^ *```$/gms, '');

/** The name of a heading in a link, as GitHub makes it. */
function anchorsOf(page: string): ReadonlySet<string> {
  return new Set(
    [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

t.test('every link leads somewhere', async (t) => {
  t.ok(pages.length >= 12);
  for (const page of pages) {
    for (const [, target = ''] of prose(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : relative(root, resolve(root, dirname(page), path));
      if (!t.ok(existsSync(join(root, file)), `${page}: ${target}`) || anchor === undefined) continue;
      t.ok(anchorsOf(file).has(anchor), `${page}: ${target}`);
    }
  }
});

t.test('where a page begins with its contents, they name every section', async (t) => {
  let pagesWithContents = 0;
  for (const page of pages) {
    const [top = '', ...sections] = prose(page).split(/^## /m);
    const contents = new Set([...top.matchAll(/\[([^\]]+)\]\(#[^)]+\)/g)].map(([, title]) => title));
    // Links in a sentence are no contents.
    if (contents.size < 3) continue;
    pagesWithContents += 1;
    const titles = sections.map((section) => section.split('\n', 1)[0]);
    t.same(
      titles.filter((title) => !contents.has(title)),
      [],
      page,
    );
  }
  t.ok(pagesWithContents >= 6);
});

t.test('every file that is named exists', async (t) => {
  let named = 0;
  for (const page of pages) {
    for (const [, file = ''] of prose(page).matchAll(/`((?:src|test|scripts|bench|docs|examples)\/[\w./-]+\.\w+)`/g)) {
      named += 1;
      t.ok(existsSync(join(root, file)), `${page}: ${file}`);
    }
  }
  t.ok(named > 40, `${named} names`);
});

t.test('the events of docs/operating.md are those of the sources', async (t) => {
  const section = /^## Events$(.*?)^## /ms.exec(read('docs/operating.md'))?.[1] ?? '';
  const rows = [...section.matchAll(/^\| (`[^|]+) \|/gm)].map((match) => match[1] ?? '');
  const listed = rows.flatMap((cell) => [...cell.matchAll(/`([a-z]+\.[a-z-]+)`/g)].map((match) => match[1] ?? ''));
  const families = new Set(listed.map((name) => name.split('.')[0]));
  const settings = new Set(settingNames.map(dottedName));
  const raised = new Set<string>();
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    for (const [, name = ''] of read(file).matchAll(/'([a-z]+\.[a-z_-]+)'/g)) {
      if (families.has(name.split('.')[0]) && !settings.has(name)) raised.add(name);
    }
  }
  t.strictSame([...listed].sort(), [...raised].sort());
});

t.test('codes and settings that are named exist', async (t) => {
  const codes = new Set(Object.keys(catalogue));
  const settings = new Set(settingNames.map(dottedName));
  const sections = new Set([...settings].filter((place) => place.includes('.')).map((place) => place.split('.')[0]));
  const events = new Set([...read('docs/operating.md').matchAll(/`([a-z]+\.[a-z-]+)`/g)].map((match) => match[1] ?? ''));
  for (const page of pages) {
    for (const [, code = ''] of read(page).matchAll(/\[([A-Z]+_[A-Z_]+|USAGE|INTERNAL)\](?!\()/g))
      t.ok(codes.has(code), `${page}: ${code}`);
    for (const [, name = ''] of prose(page).matchAll(/`([a-z]+\.[a-z_]+)(?: = [^`]*)?`/g)) {
      if (sections.has(name.split('.')[0] ?? '') && !events.has(name)) t.ok(settings.has(name), `${page}: ${name}`);
    }
  }
});
