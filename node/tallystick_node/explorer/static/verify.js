// The page that checks receipts in the visitor's browser. What it shows it writes as text, never as markup.
const form = document.getElementById("verify");
const result = document.getElementById("result");
const text = document.getElementById("document");
const MOST = 20;
const WORDS = { true: ["good", "holds"], false: ["bad", "does not hold"], null: ["warn", "cannot be said"] };
const VERDICTS = { paid: ["good", "paid"], unpaid: ["warn", "not shown to be paid"], bad: ["bad", "bad"] };

const core = Promise.all([
  import(form.dataset.core),
  import(`${form.dataset.chain}&core=${encodeURIComponent(form.dataset.core)}`),
]);

const make = (tag, words = "", className = "") => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(words);
  return element;
};

const field = (id) => document.getElementById(id).value.trim();

const whenOf = (name, value) => {
  if (!/(At|Until)$/.test(name) || Number(value) > 253402300799) return value;
  return `${value} (${new Date(Number(value) * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC)`;
};

const stepOf = ({ name, holds, reason, inputs }) => {
  const [kind, words] = WORDS[holds];
  const item = make("li", "", kind);
  item.dataset.step = name;
  const told = make("div", reason, "wrap");
  if (holds && inputs.paidIn) {
    const link = make("a", inputs.paidIn, "hash wrap");
    link.href = `/tx/${inputs.paidIn}`;
    told.append(" Transaction ", link);
  }
  item.append(make("b", name[0].toUpperCase() + name.slice(1)), " ", make("span", words, "soft"), told);
  const values = make("dl", "", "facts");
  for (const [input, value] of Object.entries(inputs)) {
    const line = make("div");
    line.append(make("dt", input), make("dd", whenOf(input, value), "mono wrap"));
    values.append(line);
  }
  if (values.children.length) {
    const details = make("details");
    details.append(make("summary", "What it was decided by"), values);
    item.append(details);
  }
  return item;
};

const shown = (word, steps, source) => {
  const section = make("section");
  const head = make("p");
  head.dataset.verdict = word;
  const [kind, words] = VERDICTS[word];
  head.append(make("span", words, `badge ${kind}`), ` ${source}`);
  const list = make("ol", "", "steps");
  list.append(...steps.map(stepOf));
  section.append(head, list);
  return section;
};

const sourceOf = (rpc, block) =>
  rpc ? `Checked in this browser, by what the node ${new URL(rpc).host} says of the chain up to block ${block}. This server had no part in it.`
    : `Checked in this browser, by what this explorer's index says of the chain up to block ${block}. Name a node of yours below to trust nobody else.`;

const checkOne = async (data) => {
  const [receipts, chain] = await core;
  let read;
  try {
    read = receipts.readDocument(data);
  } catch (error) {
    if (!(error instanceof receipts.Malformed)) throw error;
    const steps = receipts.checked(data, null);
    return shown(receipts.verdict(steps), steps, "Checked in this browser.");
  }
  const rpc = field("rpc");
  const asked = { rpc, market: field("market"), chainId: field("chain-id"), fromBlock: field("from-block") };
  const { facts, block } = rpc ? await chain.factsOfNode(read, asked) : await chain.factsOfExplorer(read);
  const steps = receipts.checked(data, facts);
  return shown(receipts.verdict(steps), steps, sourceOf(rpc, block));
};

const check = async () => {
  const button = document.getElementById("check");
  button.disabled = true;
  result.replaceChildren(make("p", "Checking…"));
  try {
    const data = JSON.parse(text.value);
    const entries = Array.isArray(data) ? data : [data];
    if (entries.length > MOST) throw new Error(`At most ${MOST} receipts at a time in the browser.`);
    const sections = [];
    for (const entry of entries) sections.push(await checkOne(entry));
    result.replaceChildren(make("h2", "In this browser"), ...sections);
  } catch (error) {
    const told = make("p");
    const words = error instanceof SyntaxError ? "That is no JSON, or one of the addresses is none." : error.message;
    told.append(make("span", "not checked", "badge bad"), ` ${words}`);
    result.replaceChildren(told);
  }
  button.disabled = false;
  result.scrollIntoView({ block: "start" });
};

document.getElementById("alone").hidden = false;
document.getElementById("check").addEventListener("click", check);
