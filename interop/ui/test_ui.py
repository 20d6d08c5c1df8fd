"""The web pages in a real Chromium, as a person uses them.

Every test ends by checking that the page broke no rule of its content security policy, threw
nothing and logged no error. Names are full of what breaks pages that paste text into markup."""

import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
import time
import unittest

from playwright.sync_api import expect, sync_playwright

from broker import Broker, quote

ODD_NAMES = [
    '"quoted" & <b>bold</b>',
    "<img src=x onerror=alert(1)>",
    "طابور 'الرسائل' العربية",
    "שלום \u202e a/b%2Fc?d#e",
]
PAGES = ["overview", "queues", "exchanges", "dead-letters", "connections", "channels", "policies",
         "policies?kind=operator", "vhosts", "users", "users/guest", "definitions", "logs",
         "queues/%2F/ui.wide", "queues/%2F/ui.wide?tab=messages", "exchanges/%2F/amq.topic"]
SHOTS = os.environ.get("LEVERET_UI_SHOTS")
# What a browser logs for every answer of 4xx, on top of what the page says of it.
REFUSED = r"Failed to load resource: the server responded with a status of 4\d\d"


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()
        cls.broker.start()
        cls.addClassCleanup(cls.broker.stop)
        playwright = sync_playwright().start()
        cls.addClassCleanup(playwright.stop)
        cls.browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox"])
        cls.addClassCleanup(cls.browser.close)
        expect.set_options(timeout=45_000)

    def setUp(self):
        self.problems, self.allowed = [], []
        self.page = self.new_page()
        self.sign_in()

    def new_page(self, **options):
        context = self.browser.new_context(**{"viewport": {"width": 1360, "height": 860}, **options})
        self.addCleanup(context.close)
        context.set_default_timeout(45_000)
        page = context.new_page()
        page.on("console", lambda said: said.type in ("error", "warning")
                and self.problems.append(said.text))
        page.on("pageerror", lambda error: self.problems.append(f"thrown: {error.stack or error}"))
        page.on("dialog", lambda dialog: (self.problems.append(f"dialog: {dialog.message}"),
                                          dialog.dismiss()))
        return page

    def tearDown(self):
        left = [text for text in self.problems
                if not any(re.search(allowed, text) for allowed in self.allowed)]
        self.assertEqual(left, [], "the browser complained")

    def sign_in(self, page=None):
        page = page or self.page
        page.goto(self.broker.url)
        page.get_by_label("User name").fill("guest")
        page.get_by_label("Password").fill("guest")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    def go(self, address, page=None):
        (page or self.page).goto(f"{self.broker.url}/#/{address}")

    def button(self, name, within=None):
        return (within or self.page).get_by_role("button", name=name)

    @property
    def dialog(self):
        return self.page.get_by_role("dialog")

    def said(self, text):
        expect(self.page.locator(".toast").filter(has_text=text).first).to_be_visible()

    def queue(self, name, **arguments):
        self.broker.forget(f"/queues/%2F/{quote(name)}")
        self.broker.declare(name, **arguments)
        self.addCleanup(self.broker.forget, f"/queues/%2F/{quote(name)}")

    # --- signing in

    def test_a_wrong_password_is_told_in_words_and_nothing_secret_is_kept(self):
        self.allowed.append(REFUSED)
        page = self.new_page()
        page.goto(self.broker.url)
        page.get_by_label("User name").fill("guest")
        page.get_by_label("Password").fill("not-the-password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("The user name or password is wrong.")
        self.sign_in(page)
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        self.assertNotRegex(kept, "not-the-password|guest")
        self.assertEqual(page.evaluate("document.cookie"), "")
        cookies = page.context.cookies()
        self.assertTrue(cookies and all(one["httpOnly"] and one["sameSite"] == "Strict"
                                        for one in cookies), cookies)
        page.reload()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Password")).to_be_visible()

    def test_the_policy_is_strict(self):
        answer = self.page.request.get(self.broker.url)
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'",
                     "frame-ancestors 'none'"):
            self.assertIn(part, policy)
        self.assertNotIn("unsafe", policy)

    # --- looking

    def test_a_rate_is_seen_to_move(self):
        self.queue("ui.rate")
        expect(self.page.get_by_role("button", name=re.compile("^Published"))).to_be_visible()
        stop = threading.Event()

        def publish():
            while not stop.wait(0.02):
                self.broker.publish("ui.rate", "tick")

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            expect(self.page.get_by_role("button", name=re.compile("^Published"))).to_have_text(
                re.compile(r"Published [1-9][\d.,]*k?/s"), timeout=30_000)
            chart = self.page.get_by_role("img", name=re.compile("^Message rates"))
            expect(chart.locator("path.stroke").first).to_have_attribute("d", re.compile("L"))
        finally:
            stop.set()
            thread.join()

    def test_queues_are_filtered_sorted_and_paged_by_the_broker(self):
        for number in range(60):
            self.queue(f"ui.many.{number:03}")
        self.queue("ui.other")
        for number in range(3):
            self.broker.publish("ui.many.041", "x")
        self.broker.wait_ready("ui.many.041", 3)
        self.go("queues")
        self.page.get_by_label("Rows on a page").select_option("50")
        self.page.keyboard.press("Escape")
        self.page.locator("body").press("/")
        self.page.keyboard.type("ui.many.")
        expect(self.page.get_by_role("navigation", name="Pages").last).to_contain_text("60 of")
        expect(self.page.locator("tbody tr")).to_have_count(50)
        self.button("Next page").click()
        expect(self.page.locator("tbody tr")).to_have_count(10)
        self.page.get_by_role("columnheader", name="Ready").get_by_role("button").click()
        expect(self.page.locator("tbody tr").first).to_contain_text("ui.many.041")

    def test_columns_can_be_chosen(self):
        self.queue("ui.columns")
        self.go("queues?filter=ui.columns")
        expect(self.page.get_by_role("columnheader", name="Memory")).to_have_count(0)
        self.button("Columns").click()
        self.dialog.get_by_label("Memory").check()
        self.button("Show these").click()
        expect(self.page.get_by_role("columnheader", name="Memory")).to_be_visible()
        self.page.reload()
        expect(self.page.get_by_role("columnheader", name="Memory")).to_be_visible()

    # --- a queue's life, under every odd name

    def test_a_queue_is_made_filled_browsed_emptied_and_deleted(self):
        for name in ODD_NAMES:
            with self.subTest(name=name):
                self.broker.forget(f"/queues/%2F/{quote(name)}")
                self.make_and_fill(name)
                self.browse(name)
                self.purge_and_delete(name)
        self.assertEqual(self.page.locator("[onerror], main b b, main script").count(), 0)

    def make_and_fill(self, name):
        self.go("queues")
        self.button("Add a queue").click()
        self.dialog.get_by_label("Name", exact=True).first.fill(name)
        self.button("Add an argument").click()
        self.dialog.locator(".pair input").first.fill("x-max-length")
        self.dialog.locator(".pair input").first.press("Tab")
        self.dialog.locator(".pair").get_by_label("Value of x-max-length").fill("1000")
        self.button("Add", self.dialog).last.click()
        expect(self.page.locator("h1.name")).to_have_text(name)
        self.button("Publish…").click()
        self.dialog.get_by_label("Payload").fill(f"<script>alert('{name}')</script>")
        self.dialog.get_by_text("Properties and headers").click()
        self.button("Add a header", self.dialog).click()
        self.dialog.locator(".pair").last.get_by_label("Name").fill(name)
        self.dialog.locator(".pair").last.get_by_label("Name").press("Tab")
        self.dialog.locator(".pair").last.get_by_label(re.compile("^Value of")).fill(name)
        self.button("Publish", self.dialog).click()
        self.said("1 message published and routed.")

    def browse(self, name):
        self.page.get_by_role("tab", name="Messages").click()
        message = self.page.locator(".message .opener").first
        message.click()
        expect(self.page.locator(".payload")).to_have_text(f"<script>alert('{name}')</script>")
        expect(self.page.locator(".message dd").filter(has_text=name).first).to_be_visible()
        self.broker.wait_ready(name, 1)
        self.assertFalse(self.broker.take(name, 1, "ack_requeue_true")[0]["redelivered"]
                         and not os.environ.get("LEVERET_UI_URL"), "browsing touched the message")

    def purge_and_delete(self, name):
        self.button("Purge…").click()
        expect(self.dialog).to_contain_text("1 ready message will be deleted")
        self.button("Purge", self.dialog).click()
        self.said("is purged")
        self.broker.wait_ready(name, 0)
        self.button("Delete…").click()
        expect(self.dialog).to_contain_text(name)
        self.button("Cancel", self.dialog).click()
        self.assertTrue(self.broker.there(f"/queues/%2F/{quote(name)}"))
        self.button("Delete…").click()
        self.allowed.append(REFUSED)  # a reading that was under way may come too late
        self.button("Delete", self.dialog).click()
        self.said(f"The queue “{name}” is deleted")
        self.assertFalse(self.broker.there(f"/queues/%2F/{quote(name)}"))

    def test_several_queues_are_deleted_at_once(self):
        for number in range(3):
            self.queue(f"ui.bulk.{number}")
        self.go("queues?filter=ui.bulk.")
        expect(self.page.locator("tbody tr")).to_have_count(3)
        self.page.get_by_label("Select all that are shown").check()
        self.button("Delete…").click()
        expect(self.dialog).to_contain_text("Delete 3 queues")
        self.button("Delete 3 queues").click()
        self.said("3 queues deleted.")
        expect(self.page.get_by_text("No queue has such a name")).to_be_visible()

    # --- dead letters

    def test_dead_letters_are_seen_by_reason_and_redriven(self):
        self.queue("ui.dead")
        self.queue("ui.work", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "ui.dead"})
        for number in range(5):
            self.broker.publish("ui.work", f"job {number}", message_id=f"job-{number}",
                                headers={"parity": "even" if number % 2 == 0 else "odd"})
        self.broker.take("ui.work", 5, "reject_requeue_false")
        self.broker.wait_ready("ui.dead", 5)
        self.go("dead-letters")
        row = self.page.locator("tbody tr").filter(has_text="ui.dead")
        expect(row).to_contain_text("rejected 5")
        row.get_by_role("link").click()
        expect(self.page.locator(".message")).to_have_count(5)
        self.button(re.compile("^rejected")).click()
        expect(self.page.locator(".message")).to_have_count(5)
        self.page.locator(".message input").first.check()
        self.button("Redrive 1 selected…").click()
        expect(self.dialog).to_contain_text("1 message that you selected will go back")
        self.button("Redrive", self.dialog).click()
        self.said("1 message redriven.")
        self.broker.wait_ready("ui.dead", 4)
        self.broker.wait_ready("ui.work", 1)
        self.redrive_the_rest()

    def redrive_the_rest(self):
        expect(self.page.locator(".message")).to_have_count(4)
        self.button("Redrive all that match…").click()
        expect(self.dialog).to_contain_text("4 messages where headers.x-first-death-reason=rejected")
        self.dialog.get_by_text("How many, how fast").click()
        self.dialog.get_by_label("Only count (dry run)").check()
        self.button("Redrive", self.dialog).click()
        expect(self.dialog.get_by_role("alert")).to_contain_text("4 messages would be redriven")
        self.broker.wait_ready("ui.dead", 4)
        self.dialog.get_by_label("Only count (dry run)").uncheck()
        self.button("Redrive", self.dialog).click()
        self.said("4 messages redriven.")
        self.broker.wait_ready("ui.work", 5)
        expect(self.page.get_by_text("No message matches")).to_be_visible()

    def test_messages_are_searched_moved_and_deleted(self):
        self.queue("ui.from")
        self.queue("ui.to")
        for number in range(6):
            self.broker.publish("ui.from", f"n {number}", headers={"shard": str(number % 2)})
        self.broker.wait_ready("ui.from", 6)
        self.go("queues/%2F/ui.from?tab=messages")
        expect(self.page.locator(".message")).to_have_count(6)
        self.button("Add a condition").click()
        self.page.get_by_label("Field").fill("headers.shard")
        self.page.get_by_label("Condition", exact=True).select_option("is")
        self.page.get_by_label("Value").fill("1")
        self.page.get_by_label("Value").press("Enter")
        expect(self.page.locator(".message")).to_have_count(3)
        self.button("Move all that match…").click()
        expect(self.dialog).to_contain_text("3 messages where headers.shard=1")
        self.dialog.get_by_label("Its name").fill("ui.to")
        self.button("Move", self.dialog).click()
        self.said("3 messages moved.")
        self.broker.wait_ready("ui.to", 3)
        self.button("Remove this condition").click()
        expect(self.page.locator(".message")).to_have_count(3)
        self.page.locator(".message input").nth(1).check()
        self.button("Delete 1 selected…").click()
        self.button("Delete", self.dialog).click()
        self.said("1 message deleted.")
        self.broker.wait_ready("ui.from", 2)

    # --- exchanges, policies, users

    def test_an_exchange_is_made_bound_drawn_and_deleted(self):
        name, queue = "ui <x>", "ui.bound"
        self.broker.forget(f"/exchanges/%2F/{quote(name)}")
        self.queue(queue)
        self.go("exchanges")
        self.button("Add an exchange").click()
        self.dialog.get_by_label("Name", exact=True).first.fill(name)
        self.dialog.get_by_label("Type").select_option("topic")
        self.button("Add", self.dialog).last.click()
        expect(self.page.locator("h1.name")).to_have_text(name)
        form = self.page.locator("section.card form")
        form.get_by_label("Its name").fill(queue)
        form.get_by_label("Routing key").fill("a.*.\"b\"")
        self.button("Bind", form).click()
        self.said("is bound to")
        picture = self.page.get_by_role("group", name="Picture of bindings")
        expect(picture.get_by_role("link")).to_have_text(re.compile(re.escape(queue)))
        expect(picture).to_contain_text("a.*.\"b\"")
        self.button("Unbind…").click()
        self.button("Unbind", self.dialog).click()
        self.said("is unbound")
        self.allowed.append(REFUSED)
        self.button("Delete…").click()
        self.button("Delete", self.dialog).click()
        self.said("is deleted")
        self.assertFalse(self.broker.there(f"/exchanges/%2F/{quote(name)}"))

    def test_a_policy_is_tested_added_and_holds(self):
        self.queue("ui.policed")
        self.broker.forget("/policies/%2F/ui%20policy")
        self.addCleanup(self.broker.forget, "/policies/%2F/ui%20policy")
        self.go("policies")
        self.button("Add a policy").click()
        self.dialog.get_by_label("Name", exact=True).first.fill("ui policy")
        self.dialog.get_by_label(re.compile("^Pattern")).fill("^ui\\.policed$")
        self.button("Which match?").click()
        expect(self.dialog.get_by_role("status")).to_contain_text("1 queues")
        expect(self.dialog.get_by_role("status")).to_contain_text("ui.policed")
        self.dialog.locator(".pair input").first.fill("overflow")
        self.dialog.locator(".pair input").first.press("Tab")
        self.dialog.locator(".pair").get_by_label("Value").select_option("reject-publish")
        self.button("Save", self.dialog).click()
        self.said("The policy “ui policy” is there.")
        self.go("queues/%2F/ui.policed")
        expect(self.page.locator("dl.facts").filter(has_text="overflow").last).to_contain_text(
            "reject-publish")

    def test_a_user_is_added_permitted_and_deleted(self):
        name = "ui 'user' <i>"
        self.broker.forget(f"/users/{quote(name)}")
        self.go("users")
        self.button("Add a user").click()
        self.dialog.get_by_label("Name", exact=True).first.fill(name)
        self.dialog.get_by_label("Password").fill("a pass phrase")
        self.dialog.get_by_label("Again").fill("another")
        self.dialog.get_by_label(re.compile("^monitoring")).check()
        self.button("Add", self.dialog).click()
        expect(self.dialog.get_by_role("alert")).to_have_text("The two passwords differ.")
        self.dialog.get_by_label("Again").fill("a pass phrase")
        self.button("Add", self.dialog).click()
        expect(self.page.locator("h1.name")).to_have_text(name)
        self.button("Add").first.click()
        self.dialog.get_by_label(re.compile("^Write")).fill("^ui\\.")
        self.button("Save", self.dialog).click()
        self.said("has its permission")
        expect(self.page.locator("tbody code").filter(has_text="^ui\\.")).to_be_visible()
        self.allowed.append(REFUSED)
        self.button("Delete…").click()
        self.button("Delete", self.dialog).click()
        self.said("is deleted")
        self.assertFalse(self.broker.there(f"/users/{quote(name)}"))

    def test_definitions_go_out_and_in_again(self):
        self.queue("ui.defined")
        self.go("definitions")
        with self.page.expect_download() as download:
            self.button("Download").click()
        file = pathlib.Path(tempfile.mkdtemp()) / "definitions.json"
        self.addCleanup(shutil.rmtree, file.parent)
        download.value.save_as(file)
        self.assertIn("ui.defined", [one["name"] for one in json.loads(file.read_text())["queues"]])
        self.broker.forget("/queues/%2F/ui.defined")
        self.page.locator("input[type=file]").set_input_files(file)
        self.button("Import…").click()
        self.button("Import", self.dialog).click()
        self.said("is imported")
        self.assertTrue(self.broker.there("/queues/%2F/ui.defined"))

    # --- how it behaves

    def test_the_keyboard_is_enough(self):
        for number in range(3):
            self.queue(f"ui.keys.{number}")
        press = self.page.keyboard.press
        press("g")
        press("q")
        expect(self.page.get_by_role("heading", name="Queues")).to_be_visible()
        expect(self.page.get_by_label("Filter by name")).to_be_visible()
        press("/")
        self.page.keyboard.type("ui.keys.")
        expect(self.page.locator("tbody tr")).to_have_count(3)
        press("Escape")
        press("j")
        expect(self.page.locator("tbody tr").first).to_be_focused()
        press("ArrowDown")
        press("ArrowDown")
        press("k")
        expect(self.page.locator("tbody tr").nth(1)).to_be_focused()
        press("Enter")
        expect(self.page.locator("h1.name")).to_have_text("ui.keys.1")
        press("?")
        expect(self.dialog).to_contain_text("go to the filter")
        press("Escape")
        expect(self.dialog).to_have_count(0)

    def test_a_broker_that_is_gone_is_told_and_comes_back(self):
        self.allowed.append("Failed to load resource")
        expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()
        self.page.get_by_label("Read every").select_option("2")
        self.page.route("**/api/**", lambda route: route.abort())
        banner = self.page.locator(".banner.bad")
        expect(banner).to_contain_text("has not answered")
        expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()
        self.page.unroute("**/api/**")
        expect(banner).to_have_count(0)

    def test_what_is_typed_outlives_a_reading(self):
        self.page.get_by_label("Read every").select_option("2")
        self.go("queues")
        self.button("Add a queue").click()
        name = self.dialog.get_by_label("Name", exact=True).first
        name.fill("half-writ")
        time.sleep(5)
        expect(name).to_have_value("half-writ")
        expect(name).to_be_focused()

    def test_nothing_is_wider_than_a_phone_or_a_zoomed_window(self):
        self.queue("ui.wide")
        self.broker.publish("ui.wide", "w" * 500, headers={"h" * 60: "v" * 200})
        for width in (390, 680):  # 680: a window of 1360 at 200 %
            page = self.new_page(viewport={"width": width, "height": 800})
            self.sign_in(page)
            for address in PAGES:
                with self.subTest(width=width, page=address):
                    self.go(address, page)
                    expect(page.locator("main h1")).to_be_visible()
                    page.wait_for_timeout(300)
                    self.assertLessEqual(
                        page.evaluate("document.documentElement.scrollWidth"), width)
            page.get_by_role("button", name="Pages").click()
            page.get_by_role("link", name="Exchanges", exact=False).first.click()
            expect(page.get_by_role("heading", name="Exchanges")).to_be_visible()

    def test_the_theme_can_be_switched_and_stays(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        light = self.page.evaluate(ground)
        self.page.get_by_label("Theme").select_option("dark")
        dark = self.page.evaluate(ground)
        self.assertNotEqual(light, dark)
        self.page.reload()
        expect(self.page.get_by_role("heading", name="Overview")).to_be_visible()
        self.assertEqual(self.page.evaluate(ground), dark)

    def test_pages_leave_nothing_behind(self):
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable")

        def held():
            session.send("HeapProfiler.collectGarbage")
            metrics = session.send("Performance.getMetrics")["metrics"]
            values = {one["name"]: one["value"] for one in metrics}
            return values["Nodes"], values["JSEventListeners"]

        def tour():
            for address in ("overview", "queues", "exchanges/%2F/amq.topic", "overview"):
                self.go(address)
                expect(self.page.locator("main h1")).to_be_visible()
                self.page.wait_for_timeout(150)

        tour()
        before = held()
        for _ in range(8):
            tour()
        after = held()
        self.assertLess(after[0], before[0] * 1.5 + 200, (before, after))
        self.assertLess(after[1], before[1] * 1.5 + 50, (before, after))

    def test_the_log_is_shown(self):
        self.go("logs?level=debug")
        expect(self.page.locator("ol.log li, .empty").first).to_be_visible()
        self.page.get_by_label("Least level").select_option("error")
        expect(self.page.locator("main h1")).to_have_text("Log")

    def test_a_scheduled_message_is_cancelled(self):
        types = [one["name"] for one in self.broker.call("GET", "/overview")["exchange_types"]]
        if "x-delayed-message" not in types:
            self.skipTest("this broker has no delayed messages")
        self.broker.call("PUT", "/exchanges/%2F/ui.later", {
            "type": "x-delayed-message", "durable": True, "arguments": {"x-delayed-type": "direct"}})
        self.addCleanup(self.broker.forget, "/exchanges/%2F/ui.later")
        self.broker.call("POST", "/exchanges/%2F/ui.later/publish", {
            "routing_key": "k", "payload": "later", "payload_encoding": "string",
            "properties": {"headers": {"x-delay": 3_600_000}}})
        self.go("exchanges/%2F/ui.later?tab=scheduled")
        expect(self.page.locator(".message")).to_have_count(1)
        self.button("Cancel…").click()
        self.button("Cancel the message").click()
        self.said("1 scheduled message cancelled.")
        expect(self.page.get_by_text("Nothing is scheduled")).to_be_visible()

    @unittest.skipUnless(SHOTS, "LEVERET_UI_SHOTS names no folder")
    def test_pictures_are_taken(self):
        folder = pathlib.Path(SHOTS)
        folder.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            for width in (1360, 390):
                page = self.new_page(viewport={"width": width, "height": 860}, color_scheme=scheme)
                self.sign_in(page)
                for address in PAGES:
                    self.go(address, page)
                    page.wait_for_timeout(1200)
                    name = re.sub(r"\W+", "-", address.replace("%2F", ""))
                    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png")


if __name__ == "__main__":
    unittest.main()
