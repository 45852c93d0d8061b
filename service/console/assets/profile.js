// An organization's profile as a form, beside a preview of what its customers see.

import { callApi, newIdempotencyKey } from "./api.js";
import { actionButton } from "./confirm.js";
import { announce, errorState, h } from "./dom.js";
import { Form } from "./form.js";
import { formatDuration } from "./format.js";
import { showProfileName } from "./link_list.js";
import { Preview } from "./preview.js";
import { ReminderRows } from "./reminders.js";

const TEXTS = ["display_name", "colour", "reply_to", "locale", "time_zone", "checkout_url"];
const COLOR = /^#[0-9a-f]{6}$/i;
const LOGO_TYPES = ["image/png", "image/jpeg"];
const dialog = document.getElementById("profile");
const state = document.getElementById("profile-state");
const body = document.getElementById("profile-body");
const buttons = dialog.querySelector("form > .buttons");
const picker = document.getElementById("profile-picker");
const logo = document.getElementById("profile-logo-url");
const logoShown = document.getElementById("profile-logo-shown");
const removeLogo = document.getElementById("profile-logo-remove");
const form = new Form(dialog, {
  question: ["Discard these changes?", "They are not saved yet, and will be lost."],
});
const reminders = new ReminderRows(
  document.getElementById("profile-reminders"),
  document.getElementById("profile-reminder-rows"),
);
const { maxBytes, defaultColor } = body.dataset;
let org = null,
  isLoaded = false,
  requestId = 0,
  preview,
  test;

/** Opens the form if `route` names it, and empties it otherwise. An open form stays as it is. */
export function showProfile(route) {
  if (route.over !== "profile") {
    if (org) leave();
    return;
  }
  if (dialog.open && isLoaded && org === route.org) return;
  org = route.org;
  form.clear();
  document.getElementById("profile-title").textContent = `Profile of ${org}`;
  if (!dialog.open) dialog.showModal();
  load();
}

function leave() {
  org = null;
  requestId += 1;
  form.clear();
  showLogo("");
  preview?.clear();
}

async function load() {
  const id = ++requestId;
  arrange(false, h("p", { class: "soft" }, "Loading"));
  try {
    const profile = await callApi(`/orgs/${org}/profile`);
    if (id !== requestId) return;
    prepare();
    arrange(true);
    open(profile);
    form.field("display_name").focus();
    preview.start(org);
  } catch (problem) {
    if (id === requestId && problem.status !== 401) arrange(false, errorState(problem, load));
  }
}

function arrange(loaded, ...content) {
  isLoaded = loaded;
  state.replaceChildren(...content);
  body.hidden = buttons.hidden = !loaded;
}

/** Builds, once, what only the open form needs. */
function prepare() {
  if (preview) return;
  preview = new Preview(document.getElementById("profile-preview"), { read, tell });
  test = actionButton("Send me a test", "", { run: sendTest, done: showSent, describe });
  document.getElementById("profile-test").prepend(test.button, test.error);
  document
    .getElementById("zones")
    .append(
      ...["UTC", ...Intl.supportedValuesOf("timeZone")].map((value) => h("option", { value })),
    );
  form.field("time_zone").placeholder = Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Shows `profile` in the form, which is then as it was saved. */
function open(profile) {
  write(profile);
  form.open({
    send: save,
    unreachable:
      "The service did not answer, so it is not known whether the profile is saved. Save again: " +
      "that does no harm",
  });
  test.error.hidden = true;
  showUnsaved();
}

function write(profile) {
  const locale = form.field("locale");
  if (profile.locale && ![...locale.options].some(({ value }) => value === profile.locale))
    locale.append(h("option", { value: profile.locale }, profile.locale)); // with a region
  for (const name of TEXTS) form.field(name).value = profile[name] ?? "";
  form.field("receipts").checked = profile.receipts;
  reminders.value = profile.reminders ?? [];
  form.field("logo").value = "";
  showColor();
  showLogo(profile.logo ?? "");
}

/** The profile in the form, as the service takes it. */
function read() {
  const texts = TEXTS.map((name) => [name, form.field(name).value.trim() || null]);
  return {
    ...Object.fromEntries(texts),
    logo: logo.value || null,
    receipts: form.field("receipts").checked,
    reminders: reminders.value?.length ? reminders.value : null,
  };
}

async function save(isShown) {
  const saved = org;
  const profile = await callApi(`/orgs/${saved}/profile`, {
    method: "PUT",
    body: JSON.stringify(read()),
  });
  if (isShown()) open(profile);
  showProfileName(saved, profile);
  announce("Profile saved. E-mails follow within 10 seconds.", { shown: true });
}

/** Shows what the service would refuse, but not while the field is being filled in. */
function tell(errors) {
  if (form.isBusy || form.form.querySelector("button:active")) return;
  const active = document.activeElement;
  const typed = active.closest("[data-part-of]")?.dataset.partOf ?? active.name;
  for (const name of [...TEXTS, "reminders"]) if (name !== typed) form.clearFault(name);
  form.markFaults(errors.filter(({ field }) => field.split(/[.[]/)[0] !== typed));
}

/** A test shows the saved profile, so it cannot be sent while there are unsaved changes. */
function showUnsaved() {
  test.button.disabled = form.isDirty;
}

const sendTest = () =>
  callApi(`/orgs/${org}/profile/test`, {
    method: "POST",
    body: "{}",
    headers: { "Idempotency-Key": newIdempotencyKey() },
  });

function showSent({ sent_to }) {
  test.error.hidden = true;
  announce(`A test is on its way to ${sent_to}`, { shown: true });
}

function describe({ status, isRefusal, message, retryAfter }) {
  if (status === 422) return "Tests go to the reply-to address: enter one above, and save.";
  if (status === 429)
    return `That is enough for today: an organization can have five tests a day. Try again in ${formatDuration(retryAfter)}.`;
  if (isRefusal) return `No test was sent: ${message}.`;
  return "The service did not answer, so it is not known whether a test is on its way.";
}

function showColor() {
  const { value } = form.field("colour");
  picker.value = COLOR.test(value.trim()) ? value.trim() : defaultColor;
}

function showLogo(url) {
  logo.value = url;
  logoShown.hidden = removeLogo.hidden = !url;
  if (url) logoShown.src = url;
  else logoShown.removeAttribute("src");
}

/** Reads the file that was chosen, unless mails could not carry it. */
async function readLogo({ files: [file] }) {
  if (!file) return;
  const isPicture = LOGO_TYPES.includes(file.type);
  if (!isPicture || file.size > maxBytes) {
    const size = `${Math.ceil(file.size / 1024)} KiB`;
    form.field("logo").value = "";
    form.showFault(
      "logo",
      isPicture
        ? `this file has ${size}, but a logo can have at most ${maxBytes / 1024} KiB: make it smaller, for example 96 × 96 pixels`
        : "this is not a PNG or JPEG, the formats that every mail program shows",
    );
    return;
  }
  showLogo(await readDataUrl(file));
  follow();
}

function readDataUrl(file) {
  const reader = new FileReader();
  const read = new Promise((done) => reader.addEventListener("load", () => done(reader.result)));
  reader.readAsDataURL(file);
  return read;
}

/** Updates the preview, and the button for a test, after a change. */
function follow() {
  showUnsaved();
  preview.schedule();
}

form.form.addEventListener("input", ({ target }) => {
  if (target.name === "logo") return; // until the file is read
  if (target === picker) form.field("colour").value = picker.value;
  else if (target.name === "colour") showColor();
  follow();
});
form.form.addEventListener("change", ({ target }) => {
  if (target.name === "logo") readLogo(target);
  else follow();
});
form.form.addEventListener("click", ({ target }) => {
  if (target === removeLogo) {
    form.clearFault("logo");
    form.field("logo").value = "";
    showLogo("");
    form.field("logo").focus();
  }
  if (target.closest("button") && body.contains(target)) follow();
});
