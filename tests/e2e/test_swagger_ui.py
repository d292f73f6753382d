"""A person opens Swagger UI in a browser and takes a backup with four clicks."""

import pytest
from kit import quickstart as hosted
from kit import tools
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

PATIENCE = 60
# Chromium as root in a closed network: without these it looks for its maker's hosts at every start.
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,2000"
).split()


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = str(tools.CHROMIUM)
    for flag in (*QUIET, f"--user-data-dir={tmp_path}/profile"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(tools.CHROMEDRIVER)))
    yield driver
    driver.quit()


def shown(browser, css):
    """The first such element, once it is there and visible."""
    return WebDriverWait(browser, PATIENCE).until(
        lambda driver: next((one for one in driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None), css
    )


def click(browser, css):
    element = shown(browser, css)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def test_backup_partition_is_executed_from_swagger_ui_and_answers_202(fresh_quickstart, browser):
    browser.get(fresh_quickstart.address + "/")
    assert browser.current_url.startswith(fresh_quickstart.address + "/swagger-ui")

    operation = "[id$=-BackupPartition]"
    click(browser, f"{operation} .opblock-summary-control")
    if shown(browser, f"{operation} .try-out__btn").text == "Try it out":
        click(browser, f"{operation} .try-out__btn")
    examples = Select(shown(browser, f"{operation} .examples-select-element"))
    assert len(examples.options) == 5, "the five examples of the published page"
    assert examples.first_selected_option == examples.options[0]
    assert shown(browser, f"{operation} textarea.body-param__text").text.strip() == "{}", "the first example is the one shown"

    partition = shown(browser, f"{operation} tr[data-param-name=partitionId] input")
    if partition.get_attribute("value") != hosted.ID:
        partition.clear()
        partition.send_keys(hosted.ID)
    # One that is filled in would make of a second Execute the request before.
    assert shown(browser, f"{operation} tr[data-param-name='Idempotency-Key'] input").get_attribute("value") == ""
    click(browser, f"{operation} .execute")

    status = shown(browser, f"{operation} .live-responses-table tbody .response-col_status")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", status)
    assert browser.save_screenshot(str(tools.ARTIFACTS / "swagger-ui-backup-partition.png"))
    assert status.text.split()[0] == "202"
    assert fresh_quickstart.api.backup_ended(hosted.ID)["BackupState"] == "Success"

    complaints = [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    assert complaints == []


def test_every_operation_is_shown_under_its_tag(quickstart, browser):
    browser.get(f"{quickstart.address}/swagger-ui/")
    shown(browser, ".opblock")
    tags = [element.get_attribute("data-tag") for element in browser.find_elements(By.CSS_SELECTOR, ".opblock-tag")]
    assert tags == ["Backup", "Restore", "Policies", "Applications", "Services", "Partitions", "Verification", "Health", "Inventory"]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".opblock")) == 40
