/** URLs of brokers and backends: which are accepted, what is said about the others, and that no message shows a password. */
import t from 'tap';
import { Refusal } from '../../src/config/kind.ts';
import { url } from '../../src/config/url-kind.ts';

const kind = url({ noun: 'a broker URL', schemes: ['sqlite', 'sqla+sqlite', 'memory'], notBuilt: ['redis'], words: ['disabled'] });

t.test('accepted', async (t) => {
  for (const value of ['sqlite:////a/b.db', 'sqlite:///b.db', 'SQLITE:////a', 'sqla+sqlite:///x.db', 'memory://', 'disabled'])
    t.equal(kind.readText(value), value);
});

t.test('refused, with the reason and without the password', async (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    ['redis://:secret@h/0', /has the scheme 'redis', which is not built/],
    ['postgres://u:secret@h/0', /must be a broker URL \('disabled', sqlite:\/\/, .*got "postgres:\/\/u:\*\*@h\/0"/],
    ['u:secret@h', /must be a broker URL/],
    ['sqlite://b.db', /three slashes before a relative path/],
    ['sqlite:///', /must name a file/],
    ['sqlite:////', /must name a file/],
    ['sqlite:///:memory:', /must name a file/],
    ['sqlite:////a?x=1', /no query/],
    ['', /got ""/],
    [3, /got 3/],
  ];
  for (const [value, wanted] of cases) {
    const read = kind.readValue(value);
    t.ok(read instanceof Refusal, String(value));
    if (!(read instanceof Refusal)) continue;
    t.match(read.reason, wanted);
    if (String(value).includes('://')) t.notMatch(read.reason, /secret/);
  }
});

t.test('relative SQLite paths are made absolute, all else stays', async (t) => {
  t.equal(kind.resolve?.('sqlite:///b.db', '/base'), 'sqlite:////base/b.db');
  t.equal(kind.resolve?.('sqla+sqlite:///sub/b.db', '/base'), 'sqla+sqlite:////base/sub/b.db');
  t.equal(kind.resolve?.('sqlite:////a/b.db', '/base'), 'sqlite:////a/b.db');
  t.equal(kind.resolve?.('memory://', '/base'), 'memory://');
});
