TRAIN = "from sklearn.svm import SVC\nSVC().fit(X, y)\n"
README = "# Use\n\n```bash\npython prepare_data.py\npython train.py --c 1\npython evaluate.py\n```\n"
FILES = {"prepare_data.py": "x = 1\n", "train.py": TRAIN, "evaluate.py": "x = 1\n", "README.md": README}


def test_steps_that_the_readme_lists(check, place):
    (finding,) = check("MLE0411", FILES)
    assert place(finding) == ("README.md", 4)
    assert "prepare_data.py" in finding.title


def test_a_pipeline_file_or_a_make_target(check):
    assert check("MLE0411", {**FILES, "Makefile": "all:\n\tpython prepare_data.py\n\tpython train.py\n"}) == []


def test_a_pipeline_of_dvc(check):
    assert check("MLE0411", {**FILES, "dvc.yaml": "stages: {}\n"}) == []


def test_one_script_needs_no_pipeline(check):
    assert check("MLE0411", {"train.py": TRAIN, "README.md": "```bash\npython train.py\n```\n"}) == []


def test_numbered_scripts_that_hand_files_on(check):
    files = {
        "01_prepare.py": "df.to_csv('data/clean.csv')\n",
        "02_train.py": "import pandas\nfrom sklearn.svm import SVC\nSVC().fit(pandas.read_csv('data/clean.csv'), y)\n",
        "03_report.py": "x = 1\n",
    }
    assert len(check("MLE0411", files)) == 1


def test_numbered_lessons_are_no_steps(check):
    files = {f"{n} - lesson.py": TRAIN for n in (1, 2, 3)}
    assert check("MLE0411", files) == []


def test_an_indented_block_of_the_readme_counts(check, place):
    readme = "Run\n\n    python prepare_data.py\n    python train.py\n    python evaluate.py\n"
    (finding,) = check("MLE0411", {**FILES, "README.md": readme})
    assert place(finding) == ("README.md", 3)


def test_a_trainer_is_known_by_what_it_does_and_a_step_by_its_folder(check, place):
    readme = README.replace("train.py", "run.py").replace("prepare_data.py", "features/create.py")
    files = {"features/create.py": "x = 1\n", "run.py": TRAIN, "evaluate.py": "x = 1\n", "README.md": readme}
    (finding,) = check("MLE0411", files)
    assert place(finding) == ("README.md", 4)
    assert check("MLE0411", {**files, "run.py": "x = 1\n", "fit.py": TRAIN}) == []


def test_trainers_of_several_models_are_no_steps(check):
    readme = README.replace("prepare_data", "gmf").replace("train", "mlp").replace("evaluate", "neumf")
    assert check("MLE0411", {"gmf.py": TRAIN, "mlp.py": TRAIN, "neumf.py": TRAIN, "README.md": readme}) == []


def test_steps_that_sentences_tell_to_run(check, place):
    told = "Run `features.py` first.\nThen run `python train.py --fast`, and run `scale.py`.\n"
    files = {"features.py": "x = 1\n", "train.py": TRAIN, "scale.py": "x = 1\n"}
    (finding,) = check("MLE0411", {**files, "README.md": told})
    assert place(finding) == ("README.md", 1)
    listed = "- `features.py` makes columns\n- `train.py`: the model\n- `scale.py`: figures\n"
    assert check("MLE0411", {**files, "README.md": listed}) == []


def test_programs_side_by_side_that_nothing_tells_the_order_of(check, place):
    main = "if __name__ == '__main__':\n    print(1)\n"
    files = {"preprocess.py": main, "train.py": TRAIN, "predict.py": main}
    (finding,) = check("MLE0411", files)
    assert place(finding) == ("preprocess.py", 1)
    assert check("MLE0411", {**files, "predict.py": "x = 1\n"}) == []
    assert check("MLE0411", {**files, "run.sh": "python preprocess.py\npython train.py\npython predict.py\n"}) == []


def test_commands_in_a_folder_of_data_and_a_step_called_val(check, place):
    readme = "    cd data && python an4.py && cd ..\n    python train.py\n    CUDA_VISIBLE_DEVICES=0 python val.py\n"
    files = {"data/an4.py": "x = 1\n", "train.py": TRAIN, "val.py": "x = 1\n", "README.md": readme}
    (finding,) = check("MLE0411", files)
    assert place(finding) == ("README.md", 1)


def test_numbered_scripts_of_a_shell_and_one_that_runs_all(check, place):
    files = {"train.py": TRAIN, "scripts/1_get.sh": "wget x\n", "scripts/2_pack.sh": "python pack.py\n"}
    files["scripts/3_train.sh"] = "CUDA_VISIBLE_DEVICES=0 python3 train.py --fast\n"
    (finding,) = check("MLE0411", files)
    assert place(finding) == ("scripts/1_get.sh", 1)
    assert check("MLE0411", {**files, "all.sh": "python pack.py\npython train.py\n"}) == []


def test_judging_two_sets_of_data_is_one_step(check):
    readme = "    python train.py\n    python coco_eval.py\n    python csv_eval.py\n"
    files = {"train.py": TRAIN, "coco_eval.py": "x = 1\n", "csv_eval.py": "x = 1\n", "README.md": readme}
    assert check("MLE0411", files) == []


def test_annotating_and_translating_are_steps_too(check):
    readme = "```bash\npython voc_annotation.py\npython train.py\npython translate.py\n```\n"
    files = {"voc_annotation.py": "x = 1\n", "train.py": TRAIN, "translate.py": "x = 1\n", "README.md": readme}
    assert len(check("MLE0411", files)) == 1
