import t from 'tap';
import { SourceScanner, splitAtCommas } from '../../src/task/source-scanner.ts';

function tokens(text: string): string[] {
  const scanner = new SourceScanner(text);
  const found: string[] = [];
  for (let token = scanner.skip(); token !== ''; token = scanner.skip()) found.push(token);
  return found;
}

t.test('tokens', async (t) => {
  t.same(tokens('a = b.c'), ['a', '=', 'b', '.', 'c']);
  t.same(tokens('(a, (b)) => c'), ['(a, (b))', '=>', 'c']);
  t.same(tokens('...rest /* x ) */ // y ('), ['...', 'rest']);
  t.same(tokens('\'a\\\'b)\' + "c\\"("'), ["'a\\'b)'", '+', '"c\\"("']);
  t.same(tokens('`a ${ `b ${ "}" } c` } d` + 1.5e3'), ['`a ${ `b ${ "}" } c` } d`', '+', '1.5e3']);
  t.same(tokens('ünïcode_$1 #private'), ['ünïcode_$1', '#private']);
});

t.test('a slash divides after a value and starts a regular expression elsewhere', async (t) => {
  t.same(tokens('= /[/)]\\//g'), ['=', '/[/)]\\//g']);
  t.same(tokens('a / b / c'), ['a', '/', 'b', '/', 'c']);
  t.same(tokens('(a) / 2 / [1]'), ['(a)', '/', '2', '/', '[1]']);
  t.same(tokens('typeof /x,/'), ['typeof', '/x,/']);
  t.same(tokens('[/,/, /]/]'), ['[/,/, /]/]'], 'inside of brackets');
});

t.test('cut at commas', async (t) => {
  const texts = (text: string) => splitAtCommas(text).map((piece) => piece.text);
  t.same(texts(''), []);
  t.same(texts(' /* nothing */ '), []);
  t.same(texts('a, b = [1, 2], c = f(1, ",") ,'), ['a', ' b = [1, 2]', ' c = f(1, ",") ']);
  t.same(splitAtCommas('a,bc')[1], { text: 'bc', offset: 2 });
});

t.test('text that ends too early', async (t) => {
  for (const text of ['(a', "'a", '`a${', '`a', '= /a', '/* a', '(]']) t.throws(() => tokens(text), { name: 'ScanError' }, text);
});
