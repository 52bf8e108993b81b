"""What Keras, TensorFlow, Transformers and the libraries around language models have removed: a part of `removed`."""

from __future__ import annotations

from ml_engineer.assessment.removal import Removed, names

_KERAS3 = (("keras", "3"), ("tensorflow", "2.16"))

# What `keras.backend` gave until Keras 3 has only the settings in it.
_BACKEND = (
    "abs all any arange argmax argmin batch_dot batch_get_value batch_set_value bias_add binary_crossentropy cast "
    "categorical_crossentropy clip concatenate constant conv1d conv2d cos ctc_batch_cost ctc_decode cumsum dot dropout "
    "elu equal eval exp expand_dims flatten function gather get_value gradients greater greater_equal hard_sigmoid "
    "image_dim_ordering in_train_phase int_shape is_tensor l2_normalize learning_phase less less_equal log max maximum "
    "mean min minimum ndim not_equal one_hot ones ones_like permute_dimensions placeholder pool2d pow print_tensor "
    "prod random_normal random_uniform relu repeat repeat_elements reshape resize_images reverse rnn round "
    "set_image_dim_ordering set_learning_phase set_value shape sigmoid sign softmax softplus "
    "sparse_categorical_crossentropy sqrt square squeeze stack std stop_gradient sum switch tanh tf tile transpose "
    "update var variable zeros zeros_like"
)


def _of_keras(names: str, instead: str = "", path: str = "", family: str = "") -> list[Removed]:
    """Entries for `name` or `name>replacement` of Keras 2, which the `keras` of TensorFlow 2.16 lacks as well."""
    parts = (item.partition(">") for item in names.split())
    return [Removed(f"keras.{path}{name}", _KERAS3, new or instead, family=family) for name, _, new in parts]


# Langchain 1 has agents, tools and messages; all else is langchain-classic, langchain-community or a partner's package.
_LANGCHAIN = (
    "chains llms vectorstores document_loaders text_splitter prompts memory schema callbacks retrievers "
    "output_parsers indexes utilities docstore document_transformers hub graphs sql_database python requests "
    "base_language adapters evaluation storage load globals runnables PromptTemplate LLMChain OpenAI ConversationChain "
    "FAISS HuggingFaceHub VectorDBQA LLMMathChain SerpAPIWrapper BasePromptTemplate FewShotPromptTemplate "
    "agents.initialize_agent agents.AgentType agents.AgentExecutor agents.load_tools agents.Tool agents.tool "
    "agents.agent_toolkits agents.create_react_agent agents.create_tool_calling_agent agents.agent_types "
    "agents.create_openai_tools_agent agents.create_openai_functions_agent agents.ZeroShotAgent agents.agent "
    "agents.create_csv_agent agents.create_pandas_dataframe_agent agents.create_sql_agent agents.ConversationalAgent "
    "chat_models.ChatOpenAI chat_models.AzureChatOpenAI chat_models.ChatAnthropic chat_models.ChatOllama "
    "chat_models.openai chat_models.ChatGooglePalm embeddings.OpenAIEmbeddings embeddings.openai "
    "embeddings.HuggingFaceEmbeddings embeddings.HuggingFaceInstructEmbeddings embeddings.OllamaEmbeddings "
    "embeddings.SentenceTransformerEmbeddings embeddings.HuggingFaceBgeEmbeddings embeddings.huggingface "
    "embeddings.CacheBackedEmbeddings embeddings.CohereEmbeddings embeddings.LlamaCppEmbeddings "
    "embeddings.sentence_transformer tools.DuckDuckGoSearchRun tools.Tool tools.StructuredTool "
    "tools.render tools.retriever tools.python"
)

NAMES: list[Removed] = [
    *names(
        "langchain", "1.0", _LANGCHAIN, "langchain-classic or langchain-community", "langchain.", "what Langchain 0 had"
    ),
    *names(
        "llama-index",
        "0.10",
        "VectorStoreIndex SimpleDirectoryReader ServiceContext StorageContext load_index_from_storage PromptHelper "
        "GPTVectorStoreIndex GPTSimpleVectorIndex GPTListIndex LLMPredictor download_loader Document Prompt "
        "set_global_service_context SummaryIndex TreeIndex KnowledgeGraphIndex prompts schema response indices "
        "query_engine text_splitter langchain_helpers",
        "llama_index.core",
        "llama_index.",
        "the names at the top of llama_index",
    ),
    *names(
        "transformers", "5.0", "AutoModelWithLMHead>AutoModelForCausalLM TextDataset>datasets", prefix="transformers."
    ),
    *names("transformers", "5.0", "LineByLineTextDataset>datasets TFTrainer>Trainer", prefix="transformers."),
    *names(
        "transformers",
        "5.0",
        " ".join(
            f"TF{model}{head}"
            for model in "Auto Bert DistilBert Roberta Albert GPT2 T5 Bart Electra XLNet MT5 CamembertModel".split()
            for head in (
                "Model ForSequenceClassification ForTokenClassification ForQuestionAnswering ForMaskedLM LMHeadModel "
                "ForConditionalGeneration ForCausalLM ModelForSequenceClassification ModelForTokenClassification "
                "ModelForQuestionAnswering ModelForSeq2SeqLM ModelForCausalLM ModelForMaskedLM ModelWithLMHead"
            ).split()
        ),
        "the model in PyTorch",
        "transformers.",
        "models of transformers in TensorFlow",
    ),
    *names("streamlit", "1.40", "experimental_rerun>rerun experimental_memo>cache_data", prefix="streamlit."),
    *names("streamlit", "1.40", "experimental_singleton>cache_resource beta_columns>columns", prefix="streamlit."),
    *names("streamlit", "1.40", "beta_container>container beta_expander>expander", prefix="streamlit."),
    *names(
        "gradio",
        "4.0",
        "Dropdown.update Textbox.update Button.update Image.update Checkbox.update Radio.update Slider.update "
        "Row.update Column.update Markdown.update Chatbot.update State.update Files.update File.update HTML.update",
        "gradio.update",
        "gradio.",
        "update() of gradio's components",
    ),
    *names("gradio", "4.0", "inputs>gradio.Textbox outputs>gradio.Textbox", prefix="gradio."),
    *names(
        "tensorflow",
        "2.0",
        "contrib Session>tf.compat.v1 placeholder>tf.compat.v1 ConfigProto>tf.compat.v1 "
        "get_variable>tf.Variable app flags "
        "gfile>tf.io.gfile logging layers>tf.keras.layers variable_scope>tf.compat.v1 reset_default_graph>tf.compat.v1 "
        "global_variables_initializer>tf.compat.v1 log>tf.math.log random_normal>tf.random.normal "
        "truncated_normal>tf.random.truncated_normal set_random_seed>tf.random.set_seed to_float>tf.cast "
        "to_int32>tf.cast "
        "train.AdamOptimizer>tf.keras.optimizers train.GradientDescentOptimizer>tf.keras.optimizers "
        "train.Saver>tf.train.Checkpoint nn.rnn_cell>tf.keras.layers examples.tutorials>tf.keras.datasets "
        "InteractiveSession>tf.compat.v1 get_default_graph>tf.compat.v1 nn.dynamic_rnn>tf.keras.layers.RNN "
        "placeholder_with_default>tf.compat.v1 initialize_all_variables>tf.compat.v1 GPUOptions>tf.config "
        "random_uniform>tf.random.uniform summary.FileWriter>tf.summary summary.merge_all>tf.summary "
        "Summary>tf.summary train.RMSPropOptimizer>tf.keras.optimizers train.MomentumOptimizer>tf.keras.optimizers "
        "train.AdagradOptimizer>tf.keras.optimizers train.AdadeltaOptimizer>tf.keras.optimizers "
        "train.import_meta_graph>tf.compat.v1 train.get_global_step>tf.compat.v1 trainable_variables>tf.compat.v1 "
        "global_variables>tf.compat.v1 local_variables_initializer>tf.compat.v1 assign>tf.Variable.assign "
        "get_collection>tf.compat.v1 image.resize_images>tf.image.resize image.resize_bilinear>tf.image.resize "
        "read_file>tf.io.read_file python_io>tf.io parse_single_example>tf.io FixedLenFeature>tf.io "
        "string_split>tf.strings.split sparse_tensor_to_dense>tf.sparse.to_dense multinomial>tf.random.categorical "
        "losses.softmax_cross_entropy>tf.keras.losses losses.sigmoid_cross_entropy>tf.keras.losses "
        "nn.static_rnn>tf.keras.layers.RNN "
        "nn.bidirectional_dynamic_rnn>tf.keras.layers.Bidirectional div>tf.divide "
        "AUTO_REUSE>tf.compat.v1 estimator.inputs>tf.data",
        "its successor in TensorFlow 2",
        "tensorflow.",
        "TensorFlow 1",
    ),
    *names("transformers", "5.0", "AdamW>torch.optim.AdamW", prefix="transformers."),
    *_of_keras(
        "preprocessing.image.ImageDataGenerator>keras.utils.image_dataset_from_directory "
        "preprocessing.text>keras.layers.TextVectorization "
        "preprocessing.sequence.TimeseriesGenerator>keras.utils.timeseries_dataset_from_array "
        "preprocessing.sequence.skipgrams preprocessing.sequence.make_sampling_table "
        "backend.set_session backend.get_session objectives>keras.losses utils.multi_gpu_model>keras.distribution"
    ),
    *_of_keras(
        "utils.np_utils>keras.utils utils.data_utils>keras.utils utils.vis_utils>keras.utils "
        "utils.generic_utils>keras.utils utils.layer_utils>keras.utils utils.conv_utils>keras.utils engine>keras "
        "layers.merge layers.convolutional layers.core layers.recurrent layers.embeddings layers.pooling "
        "layers.wrappers layers.noise layers.advanced_activations layers.local layers.convolutional_recurrent "
        "layers.CuDNNLSTM layers.CuDNNGRU layers.Merge",
        "keras.layers",
        family="modules and layers of Keras 2",
    ),
    *_of_keras(_BACKEND, "keras.ops", "backend.", "functions of keras.backend"),
    *names("tensorflow", "2.0", "layers.CuDNNLSTM>LSTM layers.CuDNNGRU>GRU", prefix="tensorflow.keras."),
    *names("tensorflow", "2.0", "get_session set_session", "tf.compat.v1.keras", "tensorflow.keras.backend."),
    *names("tensorflow", "2.4", "multi_gpu_model>tf.distribute", prefix="tensorflow.keras.utils."),
    Removed("keras.wrappers.scikit_learn", (("keras", "2.12"), ("tensorflow", "2.12")), "scikeras"),
    Removed("tensorflow.keras.wrappers.scikit_learn", (("tensorflow", "2.12"),), "scikeras"),
    Removed("keras.backend.tensorflow_backend", (("keras", "2.4"),), "keras.backend"),
    Removed("keras.layers.normalization.BatchNormalization", (("keras", "2.6"),), "keras.layers.BatchNormalization"),
    Removed("keras.optimizers.adam", (("keras", "2.6"),), "keras.optimizers.Adam"),
]
KEYWORDS: list[Removed] = [
    Removed("?*", (("transformers", "4.0"),), "labels", "lm_labels"),
    Removed("?*", (("transformers", "4.0"),), "labels", "masked_lm_labels"),
    Removed("transformers.*TrainingArguments", (("transformers", "4.46"),), "eval_strategy", "evaluation_strategy"),
    Removed("*keras.optimizers.*", _KERAS3, "learning_rate", "lr"),
    *(
        Removed(f"*keras.optimizers.{name}", (("keras", "2.11"), ("tensorflow", "2.11")), "a schedule", "decay")
        for name in "Adam SGD RMSprop Adagrad Adadelta Adamax Nadam".split()
    ),
    Removed("*keras.callbacks.ModelCheckpoint", _KERAS3, "save_freq", "period"),
    *(
        Removed("*keras.layers.*", (("keras", "2.4"),), "the names of Keras 2", old, family="arguments of Keras 1")
        for old in "border_mode subsample nb_filter nb_row nb_col W_regularizer dropout_W dropout_U".split()
    ),
    *(
        Removed("*fit*", (("keras", "2.4"),), "the names of Keras 2", old, family="arguments of Keras 1")
        for old in "nb_epoch samples_per_epoch nb_val_samples".split()
    ),
    *(
        Removed(
            "trl.SFTTrainer", (("trl", "0.13"),), "SFTConfig", old, family="what SFTConfig takes given to SFTTrainer"
        )
        for old in "dataset_text_field max_seq_length packing".split()
    ),
    Removed("langgraph.prebuilt.create_react_agent", (("langgraph", "1.0"),), "prompt", "state_modifier"),
    Removed("trl.SFTTrainer", (("trl", "0.17"),), "processing_class", "tokenizer"),
    Removed("trl.DPOTrainer", (("trl", "0.17"),), "processing_class", "tokenizer"),
    Removed("transformers.*Trainer", (("transformers", "5.0"),), "processing_class", "tokenizer"),
    Removed("transformers.*.from_pretrained", (("transformers", "5.0"),), "quantization_config", "load_in_8bit", True),
    Removed("transformers.*.from_pretrained", (("transformers", "5.0"),), "quantization_config", "load_in_4bit", True),
    Removed("transformers.*.from_pretrained", (("transformers", "5.0"),), "token", "use_auth_token"),
    Removed("transformers.*TrainingArguments", (("transformers", "5.0"),), "", "overwrite_output_dir"),
    Removed("transformers.*TrainingArguments", (("transformers", "5.0"),), "use_cpu", "no_cuda"),
    Removed("gradio.*.queue", (("gradio", "4.0"),), "concurrency_limit of the listeners", "concurrency_count"),
    Removed("gradio.Image", (("gradio", "4.0"),), "height and width", "shape"),
    Removed("gradio.Image", (("gradio", "4.0"),), "sources", "source"),
    Removed("gradio.Image", (("gradio", "4.0"),), "gradio.ImageEditor", "tool"),
    Removed("gradio.Audio", (("gradio", "4.0"),), "sources", "source"),
    Removed("gradio.Interface", (("gradio", "4.0"),), "an explanation of one's own", "interpretation"),
    Removed("uvicorn.run", (("uvicorn", "0.19"),), "log_level", "debug"),
    Removed("*keras.models.Model", (("keras", "2.3"), ("tensorflow", "2.0")), "inputs and outputs", "input"),
]
# Methods whose name alone says whose they are, in a module that imports Keras.
KERAS_METHODS: list[Removed] = [
    Removed("fit_generator", _KERAS3, "fit"),
    Removed("predict_generator", _KERAS3, "predict"),
    Removed("evaluate_generator", _KERAS3, "evaluate"),
    Removed("predict_classes", (("keras", "2.6"), ("tensorflow", "2.6")), "argmax of predict"),
]
# The same where Transformers is imported: tokenizers are handed about, so that their kind is seldom known.
TOKENIZER_METHODS: list[Removed] = [
    Removed(name, (("transformers", "5.0"),), new)
    for name, new in (
        ("encode_plus", "tokenizer(text)"),
        ("batch_encode_plus", "tokenizer(texts)"),
        ("as_target_tokenizer", "text_target="),
        ("prepare_seq2seq_batch", "text_target="),
    )
]
# `metrics=["accuracy"]` is recorded under that name since these versions, and as `acc` before.
ACC = Removed("acc", (("keras", "2.3"), ("tensorflow", "2.0")), '"accuracy"', family="the accuracy called `acc`")
# Endings that the file of a checkpoint must have.
CHECKPOINT = Removed("hdf5", _KERAS3, "the ending .keras", family="a checkpoint that ends in .hdf5")
WEIGHTS = Removed("h5", _KERAS3, "the ending .weights.h5", family="a file of weights without the ending .weights.h5")
REMOVED_TASKS = frozenset("summarization translation text2text-generation question-answering".split())
PIPELINE = Removed(
    "transformers.pipeline",
    (("transformers", "5.0"),),
    "a model with text-generation",
    family="a task of transformers.pipeline",
)
