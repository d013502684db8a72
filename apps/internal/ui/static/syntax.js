// Colours for source code: a tokenizer for each family of languages, made of a few
// regular expressions. It knows words and not grammar, which is what colours need.
//
// The text is as hostile as its author. Each rule takes time in proportion to what
// it matches, or fails at once: strings and comments without an end run to the end
// of the line or of the text, and what must look for its end is bounded.

const r = String.raw;

/** A string on one line; a backslash takes the next character along. */
const quoted = (quote) => r`${quote}(?:[^${quote}\\\n]|\\[^])*${quote}?`;
/** The same over many lines. */
const across = (quote) => r`${quote}(?:[^${quote}\\]|\\[^])*${quote}?`;
/** From here until there, whatever is between. */
const until = (open, close) => r`${open}[^]*?(?:${close}|$)`;

const atLineStart = r`(?<![^\n])`;
const block = ["comment", until(r`/\*`, r`\*/`)];
const slashes = ["comment", r`//[^\n]*`];
const hash = ["comment", r`(?<![^\s;(])#[^\n]*`];
const double = ["string", quoted('"')];
const single = ["string", quoted("'")];
const character = ["string", r`'(?:\\[^\n']?[^\n']{0,8}|[^'\\\n])'`];
const backticks = ["string", across("`")];
const heredoc = ["string", r`<<[-~<]?\s?(?<q>['"]?)(?<end>[A-Z_]\w*)\k<q>[^]*?(?:\n[ \t]*\k<end>\b|$)`];
const decorator = ["function", r`@[A-Za-z_][\w.]*`];
const regexp = [
  "string",
  r`(?<=(?:^|[-+*%=(,:[!&|?{};<>~^\n]|\b(?:return|typeof|case|if|unless|and|or|when|split))[ \t]*)/(?![/*=? ])` +
    r`(?:\\[^\n]|\[(?:\\[^\n]|[^\]\\\n]){0,99}\]|[^/\\[\n]){1,200}/[a-z]*`,
];

const c =
  "abstract as async auto await base bool boolean break byte case catch char class const constexpr continue crate " +
  "decimal default defer delegate delete do double dyn else enum event explicit export extends extern false final finally fixed " +
  "float fn for foreach friend function goto if impl implements import in inline instanceof int interface internal is let lock " +
  "long loop match mod move mut namespace native new noexcept null nullptr object operator out override package params private " +
  "protected pub public readonly record ref register return sealed self short signed sizeof static str string struct super " +
  "switch synchronized template this throw throws trait transient true try type typedef typename typeof union unsafe unsigned use " +
  "using val var virtual void volatile when where while yield i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 isize usize size_t";

/** names are languages and file extensions; line begins a comment; keywords are words. */
const families = [
  {
    names: "python py pyi",
    line: "#",
    rules: [
      ["string", r`[rRbBuUfF]{0,2}(?<t>"""|''')(?:[^\\]|\\[^])*?(?:\k<t>|\\?$)`],
      ["string", r`[rRbBuUfF]{1,2}(?:${quoted('"')}|${quoted("'")})`],
      double, single, ["comment", "#[^\n]*"], decorator,
    ],
    keywords:
      "False None True and as assert async await break case class continue def del elif else except finally for from global if " +
      "import in is lambda match nonlocal not or pass raise return self try while with yield",
  },
  {
    names: "javascript typescript js mjs cjs jsx ts tsx node nodejs deno bun",
    line: "//",
    rules: [slashes, block, double, single, backticks, regexp, decorator],
    keywords:
      "abstract any as async await boolean break case catch class const continue debugger declare default delete do else enum " +
      "export extends false finally for from function get if implements import in instanceof interface keyof let namespace new null " +
      "number of private protected public readonly return satisfies set static string super switch this throw true try type typeof " +
      "undefined unknown var void while with yield",
  },
  {
    names: "bash shell sh zsh ksh ash dash busybox",
    line: "#",
    rules: [hash, heredoc, ["string", across('"')], ["string", "'[^']*'?"]],
    keywords:
      "alias break case cd continue declare do done echo elif else esac eval exec exit export false fi for function if in local " +
      "printf read readonly return set shift source test then time trap true unset until wait while",
  },
  {
    names: "go golang",
    line: "//",
    rules: [slashes, block, double, character, ["string", "`[^`]*`?"]],
    keywords:
      "any bool break byte case chan comparable const continue default defer else error fallthrough false float32 float64 for " +
      "func go goto if import int int8 int16 int32 int64 interface iota map nil package range return rune select string struct " +
      "switch true type uint uint8 uint16 uint32 uint64 uintptr var",
  },
  {
    names: "c h cc cpp cxx hpp c++ gcc clang java rust rs c# cs csharp kotlin kt swift scala dart zig d",
    line: "//",
    rules: [slashes, block, double, character, ["function", r`#!?\[[^\]\n]*\]?`], ["keyword", atLineStart + r`[ \t]*#[ \t]*\w+`], decorator],
    keywords: c,
  },
  {
    names: "php",
    line: "//",
    rules: [slashes, block, hash, heredoc, double, single, ["keyword", r`<\?php|\?>`]],
    keywords: c + " array and or echo elseif endif endwhile endfor endforeach global include isset print require require_once unset xor",
  },
  {
    names: "ruby rb",
    line: "#",
    rules: [
      ["comment", atLineStart + until("=begin", r`\n=end`)],
      hash, heredoc, double, single, backticks, regexp,
    ],
    keywords:
      "alias and attr_accessor attr_reader begin break case class def do else elsif end ensure extend false for if in include loop " +
      "module next nil not or private puts raise redo require require_relative rescue retry return self super then true undef " +
      "unless until when while yield",
  },
  {
    names: "perl pl pm",
    line: "#",
    rules: [
      ["comment", atLineStart + until("=[a-z]", r`\n=cut`)],
      hash, heredoc, double, single, backticks, regexp,
    ],
    keywords:
      "and cmp die do else elsif eq for foreach ge gt if keys last le lt local lt my ne next no not or our package print printf " +
      "push redo require return say shift sub unless until use values wantarray while x",
  },
  {
    names: "sql sqlite postgres postgresql mysql duckdb",
    line: "--",
    fold: true,
    rules: [["comment", "--[^\n]*"], block, ["string", "'[^']*'?"], double],
    keywords:
      "add all alter and any as asc begin between by case check column commit constraint create cross default delete desc " +
      "distinct drop else end exists false foreign from full group having if in index inner insert integer into is join key left " +
      "like limit not null offset on or order outer primary references returning right rollback select set table text then true " +
      "union unique update using values varchar view when where with",
  },
];

const generic = {
  line: "#",
  rules: [["comment", r`(?<![^\s])//[^\n]*`], block, hash, double, single],
  keywords:
    "and begin case catch class const def do else elif end false finally fn for from func function if import in let module new " +
    "nil none not null or return switch then throw true try type var while with yield",
};

const byName = new Map(families.flatMap((family) => family.names.split(" ").map((name) => [name, family])));

/** The family of "python", "Python 3.11", "py" and so on. */
const find = (language) => byName.get(/^[a-z]*[+#]*/.exec(language.toLowerCase())[0]);

/** Reports whether a language, or the extension of a file, is one with rules of its own. */
export const knows = (language) => find(language) !== undefined;

/** What begins a comment up to the end of the line. */
export const comment = (language) => (find(language) ?? generic).line;

/** Makes one expression of a family's rules, the first time that it is needed. */
function prepare(family) {
  const rules = [
    ["", r`[ \t]*\n|[ \t]+`],
    ...family.rules,
    ["word", r`[A-Za-z_\x80-\uffff][\w\x80-\uffff]*`],
    ["number", r`\.?\d\w*(?:\.\d\w*)?(?:(?<=[eE])[-+]\d+)?`],
    ["operator", "[-+*/%=<>!&|^~?:]"],
    ["", "[^]"], // so that something matches, always
  ];
  family.groups = [];
  let group = 1;
  for (const [kind, source] of rules) {
    family.groups.push([group, kind]);
    group += new RegExp(`${source}|`).exec("").length; // the rule's own group, and those in it
  }
  // Names of groups must differ: each rule has names of its own.
  family.pattern = new RegExp(rules.map(([, source]) => `(${source})`).join("|"), "y");
  family.words = new Set(family.keywords.split(" "));
  return family;
}

const beforeName = /^(?:def|fn|func|function|sub|class)$/;

/**
 * Returns the text in pieces, [kind, text], one after the other and with nothing left
 * out. A kind is comment, string, number, keyword, function, operator or "".
 *
 * from must be where a piece of the same text begins; pieces are returned until one
 * ends at or after to. A piece of kind "" never goes on after the end of a line.
 */
export function tokens(text, language, from = 0, to = text.length) {
  const family = find(language) ?? generic;
  const { pattern, groups, words, fold } = family.pattern ? family : prepare(family);
  const pieces = [];
  let last = null;
  let lineEnds = false; // the piece before ended one
  let named = false; // the word before was one that a name follows
  for (let at = from; at < to; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    const piece = match[0];
    let kind = groups.find(([group]) => match[group] !== undefined)[1];
    if (kind === "word") {
      const follows = named;
      named = false;
      // A variable or a member may have any name.
      if (words.has(fold ? piece.toLowerCase() : piece) && !/[.$@]/.test(text[at - 1])) {
        kind = "keyword";
        named = beforeName.test(piece);
      } else kind = follows || opens(text, pattern.lastIndex) ? "function" : "";
    }
    if (kind === last?.[0] && !lineEnds) last[1] += piece;
    else pieces.push((last = [kind, piece]));
    lineEnds = piece.endsWith("\n");
  }
  return pieces;
}

/** Reports whether a bracket comes next. */
function opens(text, at) {
  while (text[at] === " ") at++;
  return text[at] === "(";
}
